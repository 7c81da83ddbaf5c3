"""An adopted model over a video: clips, padding and merging, held to a direct count over all clips."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ballspot.temporal.adopted import ClipNetwork, score_pictures
from ballspot.temporal.config import HeadSection, Procedure
from ballspot.temporal.heads.head import build_head

SIZE = (32, 40)
N_LABELS = 3


class MeanColours:
    """Features that one can count: a picture's mean colour, beside that of the row before in the same clip."""

    def maps(self, pictures: Tensor) -> Tensor:
        return pictures.float().mean((1, 2)) / 255 - 0.5

    def padding(self, kind: str) -> Tensor:
        return torch.zeros(3) if kind == "mean" else torch.full((3,), -0.5)

    def features(self, maps: Tensor) -> Tensor:
        before = torch.cat([torch.zeros(1, 3), maps[:-1]])
        return torch.cat([maps, before], dim=1)


def made_network(**changes: object) -> ClipNetwork:
    torch.manual_seed(0)
    head = build_head(HeadSection(kind="linear", temporal_stride=1, offsets=False), dims=[6], n_labels=N_LABELS,
                      clip_frames=1).eval()  # fmt: skip
    settings = {"system": "test", "size": SIZE, "stride": 2, "clip_rows": 8, "overlap_rows": 4, "padding": "mean"}
    return ClipNetwork(MeanColours(), head, Procedure.model_validate(settings | changes), torch.device("cpu"))


def drawn_pictures(n_rows: int) -> Tensor:
    rng = np.random.default_rng(n_rows)
    return torch.from_numpy(rng.integers(0, 256, (n_rows, *SIZE, 3), dtype=np.uint8))


def expected(network: ClipNetwork, pictures: Tensor) -> np.ndarray:
    """Sums and counts row by row, as the facts of E2E-Spot and T-DEED describe the merge."""
    procedure, n_rows = network.procedure, len(pictures)
    maps = network.clip_features.maps(pictures)
    total, count = np.zeros((n_rows, N_LABELS)), np.zeros(n_rows)
    start = procedure.first_row
    is_first = True
    while is_first or start < n_rows - procedure.overlap_rows:
        read = max(start, 0) if is_first and procedure.first_clip == "unpadded" else start
        rows = range(read, read + procedure.clip_rows)
        outside = network.clip_features.padding(procedure.padding)
        clip = torch.stack([maps[row] if 0 <= row < n_rows else outside for row in rows])
        with torch.no_grad():
            scores = network.head(network.clip_features.features(clip)[None]).class_logits[0].softmax(-1)[:, 1:]
        for place, score in enumerate(scores.numpy()):
            if 0 <= start + place < n_rows:
                total[start + place] += score
                count[start + place] += 1
        start, is_first = start + procedure.clip_rows - procedure.overlap_rows, False
    assert (count > 0).all()
    return total / count[:, None]


@given(
    n_rows=st.integers(1, 40),
    clip_rows=st.integers(2, 9),
    overlap=st.integers(0, 8),
    first_row=st.integers(-8, 0),
    padding=st.sampled_from(("mean", "black")),
    first_clip=st.sampled_from(("padded", "unpadded")),
    piece=st.integers(1, 9),
)
def test_scores_are_those_of_all_clips(n_rows, clip_rows, overlap, first_row, padding, first_clip, piece) -> None:
    network = made_network(
        clip_rows=clip_rows,
        overlap_rows=min(overlap, clip_rows - 1),
        first_row=max(first_row, 1 - clip_rows),
        padding=padding,
        first_clip=first_clip,
    )
    pictures = drawn_pictures(n_rows)
    told: list[int] = []

    scored = score_pictures(network, iter(pictures.split(piece)), n_rows=n_rows, on_rows=told.append)

    np.testing.assert_allclose(scored.scores, expected(network, pictures), atol=1e-6)
    np.testing.assert_array_equal(scored.frame_index, np.arange(n_rows) * 2)
    assert sum(told) == n_rows


def test_the_middle_of_the_resized_picture_is_what_a_crop_keeps() -> None:
    network = made_network(crop=(16, 20))
    pictures = drawn_pictures(2)
    np.testing.assert_array_equal(network.see(pictures), pictures[:, 8:24, 10:30])
