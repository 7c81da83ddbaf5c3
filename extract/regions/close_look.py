"""An engine that looks at every picture as a whole and at boxes of it, which are chosen without training."""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from ...cache.errors import BallspotError
from ...cache.stores import ORIGINAL, RegionSpec, Segment
from ..backbone import Backbone, Centre, Engine, GridPooling, WithStrength, feature_dim, fitted, require_cells, see
from ..cuda import Uploaded
from ..video import Batch
from .boxes import Boxes, cut_resized
from .choice import TIME_REACH, Chooser, edge_strength, middle_centres, moving_edges, random_centres, strength_of

SMALLEST = 32  # pixels either way of a box


@dataclass(frozen=True)
class _Held:
    """A row whose boxes are not chosen yet: its frame, its picture, and what the whole of it gave in every view."""

    frame: int
    picture: Tensor
    features: dict[str, np.ndarray]


class RegionEngine:
    """Batches of frames in order -> features of the whole pictures beside those of their boxes.

    Boxes are chosen in the original view; the other views see the same boxes. By `map` and by `motion` a row's box
    hangs on up to `reach` rows either side.
    """

    def __init__(self, backbone: Backbone, region: RegionSpec, *, make: Callable[[Backbone], Engine]) -> None:
        """``make`` makes the engine of a backbone. Raises BallspotError as `require_region` does."""
        require_region(region, backbone)
        self.backbone, self.region = backbone, region
        self.shape: tuple[int, int] | None = None
        looks = backbone
        if region.by == "map":
            model = WithStrength(backbone.model, backbone.spec)
            self.shape = model.shape_at(backbone.spec.size)
            looks = replace(backbone, model=model)
        self.whole = make(looks)
        self.close = make(replace(backbone, spec=replace(backbone.spec, size=region.size)))
        self.spec = self.whole.spec
        self.device = device_of(backbone)
        chooser = {
            "map": lambda: Chooser(region, self.shape or (1, 1)),
            "motion": lambda: Chooser(region, moving_edges(*[np.zeros(backbone.spec.size)] * 2).shape, finer=1),
        }
        self.chooser = chooser[region.by]() if region.by in chooser else None
        self.reach = 0 if self.chooser is None else TIME_REACH + (region.by == "motion")

    @property
    def look_ahead_rows(self) -> int:
        """How many rows past a row must have come until it is made."""
        return self.reach

    def span(self, segment: Segment, n_rows: int) -> Segment:
        """The rows whose frames the segment's features hang on."""
        return Segment(max(segment.start - self.reach, 0), min(segment.stop + self.reach, n_rows))

    def centres(
        self, batches: Iterable[Batch | Uploaded], segment: Segment, *, n_rows: int | None, views: tuple[str, ...]
    ) -> Iterator[Centre]:
        """The segment's rows, a batch of them at a time; ``batches`` are those of its `span`.

        With ``n_rows`` None nobody knows how many rows there will be: all of them are wanted, until the batches end.
        """
        at, n_read = segment.start, 0 if n_rows is None else self.span(segment, n_rows).start
        held: dict[int, _Held] = {}
        maps: dict[int, np.ndarray] = {}
        before: np.ndarray | None = None
        batch_rows = 1
        for batch in chain(batches, (None,)):
            if batch is not None:
                batch_rows = len(batch.pictures)
                for row, (one, strength, edges) in enumerate(self._seen(batch, views), start=n_read):
                    if edges is not None:
                        strength, before = moving_edges(edges, edges if before is None else before), edges
                    if strength is not None:
                        maps[row] = strength_of(strength)
                    if row >= segment.start:
                        held[row] = one
                n_read += len(batch.frame_index)
            end = n_rows if n_rows is not None else (n_read if batch is None else sys.maxsize)
            ready = min(segment.stop, n_read if batch is None else n_read - self.reach)
            while at < ready and (ready - at >= batch_rows or batch is None):
                rows = range(at, min(at + batch_rows, ready))
                yield Centre(rows, self._looked_at(rows, held, maps, end, views))
                at = rows.stop
                held = {row: one for row, one in held.items() if row >= at}
                maps = {row: one for row, one in maps.items() if row >= at - TIME_REACH}

    def _seen(
        self, batch: Batch | Uploaded, views: tuple[str, ...]
    ) -> Iterator[tuple[_Held, np.ndarray | None, np.ndarray | None]]:
        """What each row of a batch gives as a whole, its map of strength, or its edges."""
        spec, n_rows = self.backbone.spec, len(batch.frame_index)
        pictures = torch.as_tensor(batch.pictures, device=self.device)
        small = fitted(pictures, spec.size, uncropped=None, interpolation=self.backbone.interpolation)
        n_places = 0 if self.shape is None else self.shape[0] * self.shape[1]
        features: dict[str, np.ndarray] = {}
        maps: np.ndarray | None = None
        for view in dict.fromkeys((*views, ORIGINAL)) if n_places else views:
            made = self.whole(see(small, view))[:n_rows]
            features[view] = made[:, : made.shape[1] - n_places]
            if n_places and view == ORIGINAL:
                maps = made[:, made.shape[1] - n_places :].reshape(n_rows, *(self.shape or ()))
        middle = small[:n_rows, :, :, 1].cpu().numpy() if self.region.by == "motion" else None  # green, or now
        for number, frame in enumerate(batch.frame_index.tolist()):
            own = {view: features[view][number] for view in views}
            edges = None if middle is None else edge_strength(middle[number])
            yield _Held(frame, pictures[number].clone(), own), None if maps is None else maps[number], edges

    def _looked_at(
        self, rows: range, held: dict[int, _Held], maps: dict[int, np.ndarray], n_rows: int, views: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        """The features of rows, each fused of those of the whole picture and of its boxes: float32 (n, D) a view."""
        ones, region = [held[row] for row in rows], self.region
        boxes = [self._boxes_of(row, one.frame, maps, n_rows) for row, one in zip(rows, ones, strict=True)]
        centres = np.stack(boxes)  # (n, count, 2)
        pictures = torch.stack([one.picture for one in ones])
        parts = {view: [np.stack([one.features[view] for one in ones])] for view in views}
        n_batch = self.spec.batch_rows or len(ones)
        for number in range(region.count):
            places = torch.from_numpy(centres[:, number]).float().to(self.device)
            sizes = torch.tensor(region.size, device=self.device).expand(len(ones), 2)
            boxes = Boxes(places, sizes)
            cut = cut_resized(pictures, boxes, region.picture, interpolation=self.backbone.interpolation)
            cut = torch.cat([cut, cut[-1:].expand(n_batch - len(ones), -1, -1, -1)])  # batches of one shape
            for view in views:
                parts[view].append(self.close(see(cut, view))[: len(ones)])
        if region.fuse == "max":
            return {view: np.maximum.reduce(part) for view, part in parts.items()}
        return {view: np.concatenate(part, axis=1) for view, part in parts.items()}

    def _boxes_of(self, row: int, frame: int, maps: dict[int, np.ndarray], n_rows: int) -> np.ndarray:
        if self.chooser is not None:
            return self.chooser.centres(maps, row, n_rows)
        return random_centres(self.region, frame) if self.region.by == "random" else middle_centres(self.region)


def require_region(region: RegionSpec, backbone: Backbone) -> None:
    """Raises BallspotError, in one line, for boxes that this backbone cannot see in pictures of that size."""
    spec = backbone.spec
    (height, width), (rows, columns) = region.size, region.picture
    said, whole = f"--region-size {height}x{width}", f"{rows}x{columns}"
    if backbone.shifted is not None:
        raise BallspotError(
            f"--region {region.by}: {spec.name} exchanges what neighbouring frames have in one place, and boxes move; "
            "leave --region out, or take a backbone without temporal shift"
        )
    if spec.uncropped is not None:
        raise BallspotError(
            f"--region {region.by}: these weights see only the middle of the picture; give --size for all of it"
        )
    if any(side % 2 or side < SMALLEST for side in region.size):
        raise BallspotError(f"{said}: give even numbers of pixels from {SMALLEST} on")
    if height >= rows or width >= columns:
        raise BallspotError(
            f"{said}: not smaller than the picture of {whole} that it is cut from; give a smaller box, or a larger "
            "--region-from"
        )
    if region.fuse == "max" and spec.grid != (1, 1):
        raise BallspotError(
            "--region-fuse max: cells of the picture and of its box are different places; give concat, or leave "
            "--grid out"
        )
    close_spec = replace(spec, size=region.size)
    if isinstance(backbone.model, GridPooling):
        try:
            require_cells(backbone.model, close_spec)
        except BallspotError as error:
            raise BallspotError(f"{said}: {error}") from error
    try:
        close = feature_dim(close_spec, backbone.model, device_of(backbone))
    except BallspotError as error:
        raise BallspotError(f"{said}: {spec.name} cannot read such boxes; give another size") from error
    if close != backbone.dim:
        raise BallspotError(f"{said}: {spec.name} gives {close} features of a box and {backbone.dim} of the picture")


def device_of(backbone: Backbone) -> torch.device:
    """Where the backbone's numbers lie."""
    return next((value.device for value in backbone.model.parameters()), torch.device("cpu"))
