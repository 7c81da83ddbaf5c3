"""A whole model of another system on clips of pictures: its backbone runs over the clip, with its shift, then its head.

What sees one picture at a time is computed once a picture; clips that overlap share it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ...extract.backbone import Backbone, fitted
from ...extract.regions import MEAN, RegionNetwork
from ..config import Procedure
from ..heads import SpottingHead
from .placing import PlacedClip, place_clip

BATCH_PICTURES = 8
INTERPOLATION = "bilinear"  # OpenCV's default, by which all of these systems resized their frames


class ClipFeatures(Protocol):
    """What turns a clip's pictures into its features, in two steps."""

    def maps(self, pictures: Tensor) -> Tensor:
        """Of each picture by itself: (n, H, W, 3) of 0..255, n at most 8 -> (n, ...)."""
        ...

    def padding(self, kind: str) -> Tensor:
        """The map (...) of what stands outside the video: "black", or the "mean" colour."""
        ...

    def features(self, maps: Tensor) -> Tensor:
        """Of the maps (T, ...) of a whole clip: (T, D)."""
        ...


class BackboneFeatures:
    """One picture network, with or without temporal shift, computing as the system's own code does.

    Norms are not folded, pictures are normalised in two steps, and maps lie as torch has them by default: random
    weights behind black pictures were seen to make a difference of 0.02 in a score of what is rounded otherwise.
    """

    def __init__(self, backbone: Backbone, device: torch.device) -> None:
        self.backbone, self.device, self.shifted = backbone, device, backbone.shifted
        self.front = backbone.model if self.shifted is None else self.shifted.front
        self.mean, self.std = (torch.tensor(of, device=device).view(1, 3, 1, 1) for of in (backbone.mean, backbone.std))
        if device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False

    def maps(self, pictures: Tensor) -> Tensor:
        """(n, H, W, 3) -> (n, C, h, w), or (n, D) where no frame sees another."""
        images = pictures.to(self.device).permute(0, 3, 1, 2).contiguous().float() / 255
        return self.front((images - self.mean) / self.std)

    def padding(self, kind: str) -> Tensor:
        """The map of a black picture, or of one whose every pixel is zero once it is normalised."""
        height, width = self.backbone.spec.size
        if kind == "mean":
            return self.front(torch.zeros(1, 3, height, width, device=self.device))[0]
        return self.maps(torch.zeros(1, height, width, 3))[0]

    def features(self, maps: Tensor) -> Tensor:
        """(T, ...) -> (T, D)."""
        if self.shifted is None:
            return maps
        self.shifted.clips.n_frames = len(maps)
        return self.backbone.model(maps)


class RegionFeatures:
    """AdaSpot's two looks at the pictures of a clip; by themselves pictures are only brought to their size."""

    def __init__(self, network: RegionNetwork, device: torch.device) -> None:
        self.network, self.device = network.to(device).eval().requires_grad_(False), device
        if device.type == "cuda":  # no shorter numbers: they would choose other boxes
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False

    def maps(self, pictures: Tensor) -> Tensor:
        """(n, H, W, 3) as they are, in float32."""
        return pictures.float()

    def padding(self, kind: str) -> Tensor:
        """A black picture, or one whose every pixel is zero once it is normalised: float32 (H, W, 3)."""
        colour = torch.tensor(MEAN) * 255 if kind == "mean" else torch.zeros(3)
        return colour.to(self.device).expand(*self.network.settings.high, 3)

    def features(self, maps: Tensor) -> Tensor:
        """Pictures (T, H, W, 3) of a clip -> (T, D)."""
        return self.network.features(maps)


@dataclass(frozen=True)
class ClipNetwork:
    """A whole model, in evaluation mode, on one device."""

    clip_features: ClipFeatures
    head: SpottingHead
    procedure: Procedure
    device: torch.device

    def see(self, pictures: Tensor) -> Tensor:
        """Pictures (n, H, W, 3) as the network reads them: resized, and their middle cut out where there is a crop."""
        uncropped = None if self.procedure.crop is None else self.procedure.size
        size = self.procedure.seen
        return fitted(pictures.to(self.device), size, uncropped=uncropped, interpolation=INTERPOLATION)

    @torch.inference_mode()
    def maps(self, pictures: Tensor) -> list[Tensor]:
        """What the network makes of each picture by itself, one an entry."""
        seen = self.see(pictures)
        return [one for part in seen.split(BATCH_PICTURES) for one in self.clip_features.maps(part)]

    @torch.inference_mode()
    def clip(self, maps: Sequence[Tensor]) -> PlacedClip:
        """The scores of a clip from the maps of its rows.

        Fewer rows than a clip has are padded at the end for the features' sake, which are then cut off before the head.
        """
        n_rows, n_padded = len(maps), self.procedure.clip_rows - len(maps)
        padding = [self.clip_features.padding(self.procedure.padding)] * max(n_padded, 0)
        features = self.clip_features.features(torch.stack([*maps, *padding]))[:n_rows]
        return place_clip(self.head(features[None].float()), self.procedure)
