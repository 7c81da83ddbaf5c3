"""Checkpoints as AdaSpot saves them, by its facts: padded convolutions behind their padding, each shift called gs."""

from functools import cache

import timm
import torch
from torch import Tensor, nn

from ballspot.extract.backbone.temporal_shift import insert_shift, parse_backbone


def theirs(backbone: str, *, padding: str = "replicate") -> nn.Module:
    """A backbone with lively weights whose padded convolutions are (padding, convolution), in evaluation."""
    name, shift = parse_backbone(backbone)
    model = timm.create_model(name, num_classes=0)
    clips = None if shift is None else insert_shift(model, shift, backbone=backbone)
    for module in list(model.modules()):
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
        if isinstance(module, nn.Conv3d):
            nn.init.normal_(module.weight, std=0.1)
        for child_name, child in module.named_children():
            if isinstance(child, nn.Conv2d) and any(child.padding):
                wide = child.padding[0]
                before = {"replicate": nn.ReplicationPad2d, "reflect": nn.ReflectionPad2d}.get(padding)
                child.padding = (0, 0) if before else child.padding
                setattr(module, child_name, nn.Sequential(before(wide) if before else nn.Identity(), child))
    model.clips = clips
    return model.eval()


def backbone_state(model: nn.Module, prefix: str) -> dict[str, Tensor]:
    """Its tensors under AdaSpot's names."""
    return {f"{prefix}{key.replace('.conv1.gsm.', '.conv1.gs.')}": value for key, value in model.state_dict().items()}


def checkpoint(backbone: str = "regnety_002+gsf:s1,s2,s3,s4", **settings: object) -> dict[str, Tensor]:
    """As `_checkpoint` draws it, a dictionary of its own; its tensors are shared and not to be written to."""
    return dict(_checkpoint(backbone, **settings))


@cache
def _checkpoint(
    backbone: str,
    *,
    clip_len: int = 8,
    n_classes: int = 10,
    seed: int = 0,
    auxiliary: tuple[str, ...] = ("highres", "lowres"),
) -> dict[str, Tensor]:
    """A whole state dict with its auxiliary heads."""
    torch.manual_seed(seed)
    state: dict[str, Tensor] = {}
    for side in ("lowres", "highres"):
        model = theirs(backbone)
        dim = model.num_features
        state |= backbone_state(model, f"{side}_backbone.")
        linear = nn.Sequential(nn.Linear(dim, dim // 2), nn.ReLU(), nn.Linear(dim // 2, dim))
        state |= {f"{side}_linear.{key}": value for key, value in linear.state_dict().items()}
    state["temp_enc"] = torch.randn(clip_len, dim) / clip_len
    for end in ("", *(f"_{side}" for side in auxiliary)):
        gru = nn.GRU(dim, dim, batch_first=True, bidirectional=True)
        state |= {f"_temp_fine{end}.{key}": value for key, value in gru.state_dict().items()}
        out = nn.Linear(2 * dim, n_classes + 1)
        state |= {f"_pred_fine{end}._fc_out.{key}": value for key, value in out.state_dict().items()}
    return {key: value.detach() for key, value in state.items()}
