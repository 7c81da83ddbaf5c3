"""Extraction with a backbone that sees neighbouring frames: overlapping windows, of which the centre is kept.

The stages before the first shift see one frame at a time and are run once a frame, in batches; what they give is held
for the window's length. With a margin of the backbone's reach every feature is what the whole video at once would give.
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn

from ...cache.errors import BallspotError
from ...cache.stores import Segment
from ..cuda import Uploaded
from ..video import Batch
from .engines import TorchEngine, drawn_pictures, halved
from .load import Backbone
from .transforms import fitted, see


@dataclass(frozen=True)
class Centre:
    """The kept rows of one window: their numbers, and the features float32 (n, D) of every view."""

    rows: range
    features: dict[str, np.ndarray]


class WindowEngine:
    """Batches of frames in order -> features of windows' centres; torch alone."""

    def __init__(
        self, backbone: Backbone, *, batch_rows: int, device: torch.device, margin: int, precision: str = "auto"
    ) -> None:
        if backbone.shifted is None:
            raise ValueError(f"{backbone.spec.name} has no shift")
        self.backbone, self.shifted, self.device, self.margin = backbone, backbone.shifted, device, margin
        front = replace(backbone, model=backbone.shifted.front, shifted=None)
        self.front = TorchEngine(front, batch_rows=batch_rows, device=device, precision=precision)
        self.lock = self.front.lock
        self.back = self._back_of_halves() or backbone.model
        how = f"{self.front.spec.how} windows of {self.shifted.window_rows}"
        self.spec = replace(self.front.spec, how=how)

    def centres(
        self, batches: Iterable[Batch | Uploaded], segment: Segment, *, n_rows: int | None, views: tuple[str, ...]
    ) -> Iterator[Centre]:
        """The segment's rows, window by window; ``batches`` are those of its `span`.

        With ``n_rows`` None nobody knows how many rows there will be: all of them are wanted, until the batches end.
        """
        at = segment.start
        first = n_read = 0 if n_rows is None else self.span(segment, n_rows).start
        maps = {view: list[Tensor]() for view in views}
        for batch in chain(batches, (None,)):
            if batch is not None:
                n_new = len(batch.frame_index)
                with self.lock:
                    pictures = fitted(
                        torch.as_tensor(batch.pictures, device=self.device),
                        self.backbone.spec.size,
                        uncropped=self.backbone.spec.uncropped,
                        interpolation=self.backbone.interpolation,
                    )
                    for view in views:
                        maps[view] += self.front.tensor(see(pictures, view))[:n_new].unbind()
                n_read += n_new
            end = n_rows if n_rows is not None else (n_read if batch is None else sys.maxsize)
            while at < min(segment.stop, end):
                window = self._window(at, end)
                if n_read < window.stop:
                    break
                kept = range(at, min(at + self.shifted.window_rows, segment.stop, end))
                features = {
                    view: self._back(held[window.start - first : window.stop - first], kept, window)
                    for view, held in maps.items()
                }
                yield Centre(kept, features)
                at = kept.stop
                n_past = max(self._window(at, end).start - first, 0)
                first += n_past
                maps = {view: held[n_past:] for view, held in maps.items()}

    def shorten(self, window_rows: int) -> None:
        """Makes windows keep so many rows; features stay what they are where the margin is the reach."""
        self.shifted = replace(self.shifted, window_rows=window_rows)

    @property
    def look_ahead_rows(self) -> int:
        """How many rows past a row must have come, at most, until it is made."""
        return self.shifted.window_rows + self.margin

    def span(self, segment: Segment, n_rows: int) -> Segment:
        """The rows whose frames the segment's features hang on."""
        return Segment(max(segment.start - self.margin, 0), min(segment.stop + self.margin, n_rows))

    def _window(self, at: int, n_rows: int) -> range:
        return range(max(at - self.margin, 0), min(at + self.shifted.window_rows + self.margin, n_rows))

    def _back(self, held: list[Tensor], kept: range, window: range) -> np.ndarray:
        with self.lock, torch.inference_mode(), self.front.casting():
            images = torch.stack(held).to(memory_format=torch.channels_last)
            self.shifted.clips.n_frames = len(window)
            features = self.back(images)
        return features[kept.start - window.start : kept.stop - window.start].float().cpu().numpy()

    def _back_of_halves(self) -> nn.Module | None:
        """The stages from the first shift on with halves for weights; None where the front computes otherwise.

        Where they do not run so, they stay in float32, and so do the front's maps from there on.
        """
        front, model, clips = self.front, self.backbone.model, self.shifted.clips
        if front.number == torch.float32 or front.uses_autocast:
            return None
        n_rows = front.spec.batch_rows or 1
        example = drawn_pictures(n_rows, self.backbone.spec.size)
        clips.n_frames = n_rows
        half = halved(model, front.number, shares=(clips,))
        try:
            with torch.inference_mode():
                half(front.tensor(example))
        except RuntimeError:  # the model makes float32 numbers of its own, which do not go with halves
            return Widened(model)
        return half


class Widened(nn.Module):
    """A model that gets its input in float32."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images.float())


def window_engine(
    backbone: Backbone,
    *,
    kind: str,
    batch_rows: int,
    device: torch.device,
    margin: int,
    compiles: bool,
    precision: str = "auto",
) -> WindowEngine:
    """The engine of a backbone with temporal shift. Raises BallspotError for another than plain torch."""
    if compiles:
        raise BallspotError(f"--compile: temporal shift ({backbone.spec.name}) is not compiled; leave it out")
    if kind != "torch":
        raise BallspotError(f"--engine {kind}: cannot run temporal shift ({backbone.spec.name}); give --engine torch")
    return WindowEngine(backbone, batch_rows=batch_rows, device=device, margin=margin, precision=precision)


def require_margin(margin: int | None, backbone: Backbone) -> int:
    """The frames either side that a window has beside those it keeps: the backbone's reach where none are given.

    Raises BallspotError for a margin with a backbone that sees one frame at a time.
    """
    if backbone.shifted is None:
        if margin:
            raise BallspotError(f"--margin {margin}: {backbone.spec.name} sees one frame at a time; leave it out")
        return 0
    return backbone.shifted.reach if margin is None else margin
