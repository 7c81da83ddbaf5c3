"""T-DEED's head in plain functions over its own tensors, and small ones drawn; from ../shared/golden2/tdeed_*/facts.md.

Slow and literal on purpose: what ballspot computes is held to it at sizes that no golden vector has.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

State = Mapping[str, Tensor]


def drawn_state(
    *,
    clip: int,
    dim: int = 32,
    n_layers: int = 2,
    ks: int = 5,
    long: int = 13,
    classes: tuple[int, ...] = (4,),
    displacement: bool = True,
    team: bool = False,
) -> dict[str, Tensor]:
    """A checkpoint's head with random numbers; two ``classes`` are a double head."""
    random = torch.Generator().manual_seed(clip + 100 * n_layers)
    state: dict[str, Tensor] = {}

    def put(name: str, *shape: int, scale: float = 0.2) -> None:
        state[name] = torch.randn(*shape, generator=random) * scale

    def conv(name: str, *shape: int) -> None:
        put(f"{name}.weight", *shape)
        put(f"{name}.bias", shape[0])

    def norm(name: str, *shape: int) -> None:
        put(f"{name}.weight", *shape, scale=1.0)
        put(f"{name}.bias", *shape)

    def branches(block: str, side: str) -> None:
        for part, kernel in (("psi", ks), ("fc", 1), ("convw", ks), ("convkw", long), ("global_fc", 1)):
            conv(f"{block}.{part}{side}", dim, 1, kernel)

    def feedforward(block: str) -> None:
        norm(f"{block}.gn", dim)
        conv(f"{block}.mlp.0", 4 * dim, dim, 1)
        conv(f"{block}.mlp.2", dim, 4 * dim, 1)

    put("temp_enc", clip, dim)
    for index in range(2 * n_layers + 1):
        block = f"_temp_fine._sgp.{index}"
        norm(f"{block}.ln", 1, dim, 1)
        branches(block, "")
        feedforward(block)
    for index in range(n_layers):
        block = f"_temp_fine._sgpMixer.{index}"
        for side in ("1", "2"):
            norm(f"{block}.ln{side}", 1, dim, 1)
            branches(block, side)
        feedforward(block)
        conv(f"{block}.concat_fc", dim, 6 * dim, 1)
    for index, n_classes in enumerate(classes, start=1):
        conv(f"_pred_fine.{f'_fc{index}.' if len(classes) > 1 else ''}_fc_out", 1 + n_classes, dim)
    for name, is_there in (("_pred_displ", displacement), ("_pred_team", team)):
        if is_there:
            conv(f"{name}._fc_out", 1, dim)
            state[f"{name}._fc_out.weight"] *= 10
    return state


def _conv(state: State, name: str, x: Tensor) -> Tensor:
    weight = state[f"{name}.weight"]
    depthwise = x.shape[1] // weight.shape[1]
    return F.conv1d(x, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2, groups=depthwise)


def _norm(state: State, name: str, x: Tensor) -> Tensor:
    centred = x - x.mean(1, keepdim=True)
    normed = centred / torch.sqrt((centred**2).mean(1, keepdim=True) + 1e-5)
    return normed * state[f"{name}.weight"] + state[f"{name}.bias"]


def _branches(state: State, block: str, side: str, x: Tensor) -> tuple[Tensor, Tensor]:
    gate = torch.relu(_conv(state, f"{block}.global_fc{side}", x.mean(-1, keepdim=True)))
    instant = _conv(state, f"{block}.fc{side}", x) * gate
    both = _conv(state, f"{block}.convw{side}", x) + _conv(state, f"{block}.convkw{side}", x)
    return both * _conv(state, f"{block}.psi{side}", x), instant


def _feedforward(state: State, block: str, x: Tensor) -> Tensor:
    normed = F.group_norm(x, 16, state[f"{block}.gn.weight"], state[f"{block}.gn.bias"])
    return x + _conv(state, f"{block}.mlp.2", F.gelu(_conv(state, f"{block}.mlp.0", normed)))


def _layer(state: State, block: str, x: Tensor) -> Tensor:
    normed = _norm(state, f"{block}.ln", x)
    window, instant = _branches(state, block, "", normed)
    return _feedforward(state, block, x + instant + window + normed)


def _mixer(state: State, block: str, x: Tensor, z: Tensor) -> Tensor:
    z = _norm(state, f"{block}.ln1", z)
    x = F.interpolate(_norm(state, f"{block}.ln2", x), size=z.shape[-1], mode="linear", align_corners=True)
    (window_z, instant_z), (window_x, instant_x) = (
        _branches(state, block, "1", z),
        _branches(state, block, "2", x),
    )
    joined = torch.cat((window_z, window_x, instant_z, instant_x, z, x), dim=1)
    return _feedforward(state, block, F.gelu(_conv(state, f"{block}.concat_fc", joined)))


def outputs(state: State, features: Tensor, *, n_layers: int, head: str = "_pred_fine._fc_out") -> dict[str, Tensor]:
    """Features (T, D) -> "logits" (T, 1 + K), "displacement" (T,) and "team" (T,), those that there are."""
    clip = len(state["temp_enc"])
    x, skips = (features + state["temp_enc"]).T[None], []
    for index in range(n_layers):
        x = _layer(state, f"_temp_fine._sgp.{index}", x)
        skips.append(x)
        x = F.adaptive_max_pool1d(x, math.ceil(clip / 2 ** (index + 1)))
    x = _layer(state, f"_temp_fine._sgp.{n_layers}", x)
    for index in range(n_layers):
        x = _mixer(state, f"_temp_fine._sgpMixer.{n_layers - 1 - index}", x, skips[n_layers - 1 - index])
        x = _layer(state, f"_temp_fine._sgp.{n_layers + index + 1}", x)
    tokens = x[0].T
    told = {"logits": F.linear(tokens, state[f"{head}.weight"], state[f"{head}.bias"])}
    for name, key in (("displacement", "_pred_displ._fc_out"), ("team", "_pred_team._fc_out")):
        if f"{key}.weight" in state:
            told[name] = F.linear(tokens, state[f"{key}.weight"], state[f"{key}.bias"])[:, 0]
    return told


def scores(told: Mapping[str, Tensor]) -> Tensor:
    """What predict() returns, (T, 1 + K), or (T, 1 + 2 K) with teams: background, left and right of each class."""
    rows = told["logits"].softmax(-1)
    if "displacement" in told:
        moved = torch.zeros_like(rows)
        for t, displacement in enumerate(told["displacement"].tolist()):
            place = min(max(t - round(displacement), 0), len(rows) - 1)
            moved[place] = torch.maximum(moved[place], rows[t])
        rows = moved
    if "team" not in told:
        return rows
    right = told["team"].sigmoid()
    columns = [rows[:, 0]]
    for label in range(1, rows.shape[1]):
        columns += [(1 - right) * rows[:, label], right * rows[:, label]]
    return torch.stack(columns, dim=1)
