"""A video through a whole model of another system, clip by clip, as that system's own code goes over it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ...cache.stores import Segment
from ...extract.rows import AUTO_DECODER
from ...extract.video import DecodingProcess, VideoProbe
from ..bundle import Bundle
from ..prediction import MatchScores, Sides, require_finite
from .merging import MergedClips
from .network import BATCH_PICTURES, ClipNetwork
from .run import network_of


@dataclass(frozen=True)
class AdoptedScorer:
    """An adopted model over whole videos, as `predict_videos` asks for it."""

    network: ClipNetwork
    decoder: str = AUTO_DECODER

    @classmethod
    def of(cls, bundle: Bundle, *, device: torch.device, weights: str | None = None) -> "AdoptedScorer":
        """The network of an adopted run or bundle on ``device``, its backbone's weights from ``weights`` if given."""
        if bundle.procedure is None:
            raise ValueError("no adopted model")
        head = bundle.heads[0].load(device)
        return cls(network_of(bundle.procedure, bundle.features[0], head, device=device, weights=weights))

    def n_rows(self, probe: VideoProbe) -> int:
        """How many rows a video has."""
        return -(-probe.n_frames // self.network.procedure.stride)

    def score(self, probe: VideoProbe, *, match: str, on_rows: Callable[[int], None]) -> MatchScores:
        """The scores of a video's rows. Raises DecodingError for a frame that the decoder cannot give."""
        stride = self.network.procedure.stride
        with DecodingProcess(batch_rows=BATCH_PICTURES) as decoding:
            decoding.open(probe, self.decoder)
            batches = decoding.batches(Segment(0, self.n_rows(probe)), stride=stride)
            pictures = (torch.from_numpy(batch.pictures[: len(batch.frame_index)]) for batch in batches)
            scored = score_pictures(self.network, pictures, n_rows=self.n_rows(probe), on_rows=on_rows)
        require_finite(scored, match)
        return scored


def score_pictures(
    network: ClipNetwork, pictures: Iterator[Tensor], *, n_rows: int, on_rows: Callable[[int], None] = lambda n: None
) -> MatchScores:
    """The scores of ``n_rows`` rows whose pictures (n, H, W, 3) arrive in order, some at a time.

    Memory holds the maps of one clip.
    """
    procedure = network.procedure
    # Each side of a class has a score of its own, of which the higher one counts.
    sides: Sides = "none" if network.head.team_layer is None else "apart"
    merged = MergedClips(procedure, n_rows, n_columns=network.head.n_labels * (1 if sides == "none" else 2))
    rows = HeldRows(network, pictures, n_rows=n_rows, on_rows=on_rows)
    for number, start in enumerate(procedure.clip_starts(n_rows).tolist()):
        read_from = max(start, 0) if number == 0 and procedure.first_clip == "unpadded" else start
        merged.add(start, network.clip(rows.clip(read_from)))
    return merged.scores(sides)


class HeldRows:
    """The maps of the rows that some clip still needs."""

    def __init__(
        self, network: ClipNetwork, pictures: Iterator[Tensor], *, n_rows: int, on_rows: Callable[[int], None]
    ) -> None:
        self.network, self.pictures, self.n_rows, self.on_rows = network, pictures, n_rows, on_rows
        self.outside = network.clip_features.padding(network.procedure.padding)
        self.first, self.held = 0, list[Tensor]()

    def clip(self, start: int) -> list[Tensor]:
        """The maps of the clip that begins at ``start``, padded where it leaves the video; no later one begins before
        it.
        """
        stop = start + self.network.procedure.clip_rows
        self._read_to(min(stop, self.n_rows))
        n_past = min(max(start - self.first, 0), len(self.held))
        del self.held[:n_past]
        self.first += n_past
        inside = range(max(start, 0), min(stop, self.n_rows))
        return [self.held[row - self.first] if row in inside else self.outside for row in range(start, stop)]

    def _read_to(self, stop: int) -> None:
        while self.first + len(self.held) < stop:
            given = next(self.pictures)
            self.held += self.network.maps(given)
            self.on_rows(len(given))
