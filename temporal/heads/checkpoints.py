"""Trained heads on disk: safetensors files whose header carries the configuration and the label set.

Tensors are named ``head.*`` (the head's state), ``scaling.mean`` and ``scaling.sd`` (features scaled by the training
matches) and, in the last checkpoint of a run that is not done, ``optimizer.<parameter>.<value>`` and ``average.*``. The
header has one entry, ``ballspot``, in JSON: nothing else decides what a head is.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ...cache.code import settle_code
from ...cache.disk import below, raise_if_system, write_tensors
from ...cache.errors import BallspotError
from ...cache.times import rate_of
from ...evaluate.dataset import LABELS_FILE, LabelSet
from ..config import Config, as_table, config_from_table
from ..features import Scaling
from .head import SpottingHead, build_head, sketch_device

CHECKPOINT_FORMAT = "ballspot-head/3"
MOST_CLIP_FRAMES, MOST_FEATURES = 2**20, 2**24


@dataclass(frozen=True)
class HeadDescription:
    """What is needed, beside its weights, to build and to use a head.

    ``fps`` is the frame rate that it was trained at, None where an older checkpoint does not say it.
    """

    config: Config
    label_set: LabelSet
    dims: tuple[int, ...]
    features_fingerprint: str
    fps: Fraction | None = None

    def build(self) -> SpottingHead:
        """A head of this description with fresh weights from torch's global generator."""
        try:
            return build_head(
                self.config.head,
                dims=self.dims,
                n_labels=len(self.label_set),
                clip_frames=self.config.clips.clip_frames,
            )
        except ValueError as error:
            raise BallspotError(
                f"head for features of {'+'.join(map(str, self.dims))} numbers: {error}; set width or n_attention_heads"
            ) from error
        except RuntimeError as error:  # torch's own word for memory that is not there
            raise BallspotError(f"head: {str(error).splitlines()[0]}; set a smaller width") from error


@dataclass(frozen=True)
class Progress:
    """How far a training has come: epochs done, the best one so far with its validation mAP (0..1), seconds spent."""

    n_epochs_done: int = 0
    best_epoch: int = 0
    best_mean_ap: float = -1.0
    train_s: float = 0.0


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as read: its description, progress and tensors.

    ``optimizer`` and ``average`` (the moving average of the weights) are empty where none was kept.
    """

    description: HeadDescription
    progress: Progress
    head: dict[str, Tensor]
    scaling: Scaling | None
    optimizer: dict[str, Tensor]
    average: dict[str, Tensor]

    def load(self, device: torch.device | str) -> SpottingHead:
        """The trained head on ``device``, in evaluation mode. BallspotError where the tensors are not its own.

        Of an unfinished training that averages the weights it is the average, which is what was validated.
        """
        state = self.average or self.head
        problem = misfit(self.description, state)
        if problem:
            raise BallspotError(f"head{problem}; train the run again")
        with torch.random.fork_rng(devices=[]):
            head = self.description.build()
        head.load_state_dict(state)
        return head.to(device).eval()


def write_checkpoint(
    path: Path,
    *,
    description: HeadDescription,
    head: nn.Module,
    progress: Progress,
    scaling: Scaling | None,
    optimizer: torch.optim.Optimizer | None = None,
    average: Mapping[str, Tensor] | None = None,
) -> None:
    """Writes a checkpoint, whole or not at all; equal states give an equal file."""
    tensors = {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in (average or {}).items()}
    if scaling is not None:
        tensors |= {"scaling.mean": scaling.mean, "scaling.sd": scaling.sd}
    if optimizer is not None:
        for name, parameter in head.named_parameters():
            for key, value in optimizer.state[parameter].items():
                tensors[f"optimizer.{name}.{key}"] = torch.as_tensor(value)
    header = {
        "format": CHECKPOINT_FORMAT,
        "config": as_table(description.config),
        "label_set": description.label_set.as_record(),
        "dims": list(description.dims),
        "features_fingerprint": description.features_fingerprint,
        "progress": asdict(progress),
    }
    if description.fps is not None:
        header["fps"] = str(description.fps)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    plain = _unshared(plain)
    write_tensors(path, plain, save=save_file, metadata={"ballspot": json.dumps(header, sort_keys=True)})


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, none of them in the memory of another, which safetensors refuses: own heads may tie weights."""
    kept: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        kept[name] = tensor.clone() if place in taken else tensor
        taken.add(place)
    return kept


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint at ``path``, on the CPU. Raises BallspotError when it is missing, damaged or of another format."""
    if not path.is_file():
        raise BallspotError(f"{path}: no such checkpoint; train the run to its first epoch, or copy the whole run")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["ballspot"])
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dict
    except (OSError, SafetensorError, LookupError, RuntimeError, TypeError, ValueError, ArithmeticError) as error:
        raise_if_system(path, error)
        raise BallspotError(f"{path}: holds no head ({error}); bring it back, or train again") from error
    found = header.get("format") if isinstance(header, dict) else None
    if found != CHECKPOINT_FORMAT:
        raise BallspotError(f"{path}: format {found!r} is not {CHECKPOINT_FORMAT!r}; train it again")
    try:
        description = _description(path, header)
        return Checkpoint(
            description=description,
            progress=_progress(header["progress"]),
            head=below("head.", tensors),
            scaling=_scaling(tensors, description.dims) if "scaling.mean" in tensors else None,
            optimizer=below("optimizer.", tensors),
            average=below("average.", tensors),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BallspotError(f"{path}: its header lacks or garbles {error}; train the run again") from error


def restore(path: Path, checkpoint: Checkpoint, head: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Gives ``head`` and ``optimizer`` the state of a checkpoint read from ``path``. Else BallspotError."""
    try:
        head.load_state_dict(checkpoint.head)
        restore_optimizer(optimizer, head, checkpoint.optimizer)
    except (RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BallspotError(f"{path}: is not of this head ({reason}); remove the run and train it again") from error


def restore_optimizer(optimizer: torch.optim.Optimizer, head: nn.Module, state: dict[str, Tensor]) -> None:
    """Gives ``optimizer`` the ``state`` that a checkpoint has for the parameters of ``head``. Else BallspotError."""
    parameters = dict(head.named_parameters())
    for name, value in state.items():
        owner, _, key = name.rpartition(".")
        parameter = parameters.get(owner)
        if parameter is None or value.shape not in (parameter.shape, ()):
            raise BallspotError(
                f"checkpoint: its optimizer's {name[:80]!r} has no place; remove the run and train again"
            )
        # AdamW keeps its step counts on the CPU unless it is fused; moments live with their parameter.
        with_parameter = key != "step" or optimizer.defaults.get("fused")
        optimizer.state[parameter][key] = value.to(parameter.device if with_parameter else "cpu", copy=True)


def _description(path: Path, header: dict[str, Any]) -> HeadDescription:
    names = header["label_set"]
    label_set = LabelSet(
        names["name"], tuple(names["labels"]), tuple(names["headline_excludes"]), names.get("labels_file", LABELS_FILE)
    )
    texts = (
        label_set.name,
        label_set.file,
        *label_set.labels,
        *label_set.headline_excludes,
        header["features_fingerprint"],
    )
    if not label_set.labels or not all(isinstance(text, str) for text in texts):
        raise ValueError("the label set or the features' fingerprint")
    dims = tuple(header["dims"])
    if not dims or not all(type(dim) is int and 1 <= dim <= MOST_FEATURES for dim in dims):
        raise ValueError(f"dims {dims!r}")
    config = config_from_table(header["config"], source=str(path))
    kind = settle_code(config.head.kind, near=path.parent, owner=str(path))
    if kind != config.head.kind:
        config = config.model_copy(update={"head": config.head.model_copy(update={"kind": kind})})
    rate = rate_of(header["fps"]) if "fps" in header else None
    return HeadDescription(config, label_set, dims, header["features_fingerprint"], rate)


def _progress(values: dict[str, Any]) -> Progress:
    progress = Progress(**values)
    counts, numbers = (progress.n_epochs_done, progress.best_epoch), (progress.best_mean_ap, progress.train_s)
    are_counts = all(type(count) is int and count >= 0 for count in counts)
    if not are_counts or not all(type(number) in (int, float) for number in numbers):
        raise ValueError("progress")
    return progress


def _scaling(tensors: Mapping[str, Tensor], dims: tuple[int, ...]) -> Scaling:
    mean, sd = tensors["scaling.mean"], tensors["scaling.sd"]
    if any(numbers.shape != (sum(dims),) or numbers.dtype != torch.float32 for numbers in (mean, sd)):
        raise ValueError(f"scaling, which is not {sum(dims)} means and deviations")
    return Scaling(mean, sd)


def misfit(description: HeadDescription, state: Mapping[str, Tensor]) -> str:
    """Why tensors are not the described head's, "" when they are; told before a byte is taken for that head."""
    section = description.config.head
    n_layers = max(section.n_layers, section.gru_layers, section.unet_levels, section.n_stages, len(section.dilations))
    if n_layers > max(len(state), 64) or description.config.clips.clip_frames > MOST_CLIP_FRAMES:
        return ": its configuration asks for more layers or frames than its tensors can be of"
    try:
        with torch.random.fork_rng(devices=[]), torch.device(sketch_device(section)):
            wanted = description.build().state_dict()
    except BallspotError as error:
        return f" cannot be built ({error})"
    for name in sorted(wanted.keys() | state.keys()):
        if name not in state:
            return f": lacks the tensor {name!r}"
        if name not in wanted:
            return f": tensor {name[:80]!r} has no place in it"
        if state[name].shape != wanted[name].shape or state[name].dtype != wanted[name].dtype:
            found = f"{state[name].dtype} {tuple(state[name].shape)}"
            return f": tensor {name!r} is {found}, not {tuple(wanted[name].shape)}"
    return ""
