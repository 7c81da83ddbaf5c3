"""Extraction on a GPU that is not there: all is on the device, no batch casts weights, replays are what was meant."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ballspot.cache.stores.journal import Segment
from ballspot.extract.backbone.engines import TorchEngine, drawn_pictures
from ballspot.extract.backbone.load import Backbone, load_backbone
from ballspot.extract.backbone.spec import BackboneSpec
from ballspot.extract.cuda import Graphed, uploaded
from ballspot.extract.rows.crew import Decoders
from ballspot.extract.rows.job import ExtractionJob, Settings
from ballspot.extract.rows.segments import SegmentRunner
from ballspot.extract.video.probe import probe_video

from ...pretend import CUDA, MixedDevicesError, PretendedTensor
from ...pretended import pretended_gpu

pytestmark = pytest.mark.skipif(
    torch.version.cuda is None, reason="this wheel of torch has no CUDA: nothing can say that it is there"
)
CPU = torch.device("cpu")
SIZE = (32, 48)


def on_gpu(name: str, weights: str = "random") -> Backbone:
    return load_backbone(BackboneSpec(name, weights, SIZE), CUDA)


def expected(name: str, given: torch.Tensor, weights: str = "random") -> np.ndarray:
    return TorchEngine(load_backbone(BackboneSpec(name, weights, SIZE), CPU), batch_rows=len(given), device=CPU)(given)


def test_mixed_devices_are_refused_and_a_replay_sees_new_numbers() -> None:
    with pretended_gpu() as log:
        model, given = Graphed(nn.ReLU()), torch.full((2,), -1.0).to(CUDA)
        assert isinstance(given, PretendedTensor) and given.device == CUDA
        with pytest.raises(MixedDevicesError):
            given + torch.ones(2)
        assert model(given).cpu().tolist() == [0.0, 0.0]
        first = model(torch.tensor([1.0, -2.0]).to(CUDA))
        second = model(torch.tensor([-3.0, 4.0]).to(CUDA))
        assert log.n_replays == 4  # one of the check after the recording
        assert (first.cpu().tolist(), second.cpu().tolist()) == ([1.0, 0.0], [0.0, 4.0])


@pytest.mark.parametrize(("precision", "number"), [("auto", "float16"), ("bfloat16", "bfloat16")])
@pytest.mark.parametrize("name", ["regnety_002", "vit_tiny_patch16_224"])
def test_weights_are_halves_and_no_batch_casts_them(name: str, precision: str, number: str) -> None:
    given = drawn_pictures(2, SIZE)
    want = expected(name, given)
    with pretended_gpu() as log:
        engine = TorchEngine(on_gpu(name), batch_rows=2, device=CUDA, precision=precision)
        assert str(engine.spec) == f"torch {torch.__version__} cuda {number} batch 2"
        engine(given)
        log.clear()
        found = engine(given)
        assert log.n_replays == 1 and log.casts == [(getattr(torch, number), torch.float32, found.shape)]
    assert np.abs(found - want).max() <= {"float16": 0.01, "bfloat16": 0.05}[number] * np.abs(want).max()


def test_float32_is_asked_for_and_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    given = drawn_pictures(2, SIZE)
    want = expected("regnety_002", given)
    with pretended_gpu():
        engine = TorchEngine(on_gpu("regnety_002"), batch_rows=2, device=CUDA, precision="float32")
        found = engine(given)
    assert str(engine.spec) == f"torch {torch.__version__} cuda float32 batch 2"
    assert not torch.backends.cudnn.allow_tf32
    assert np.abs(found - want).max() <= 1e-4 * np.abs(want).max()


class Stubborn(nn.Module):
    """Makes float32 numbers of its own, with which halves do not go."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images.mean((2, 3)) @ torch.eye(3, device=images.device))


def test_a_model_that_does_not_run_in_halves_has_its_weights_cast() -> None:
    with pretended_gpu():
        backbone = replace(on_gpu("regnety_002"), model=Stubborn().eval().requires_grad_(False).to(CUDA), dim=4)
        engine = TorchEngine(backbone, batch_rows=2, device=CUDA)
    assert engine.spec.how.endswith("cuda float16 autocast")


@dataclass
class Piece:
    frame_index: np.ndarray
    pictures: np.ndarray
    substituted: np.ndarray


@pytest.mark.parametrize("lengths", [[3, 3, 3], [4, 4], [1, 1, 1, 1, 1], [7], [4, 3]])
def test_pieces_of_any_length_become_batches_and_their_memory_may_be_filled_anew(lengths: list[int]) -> None:
    memory = np.zeros((7, 2, 2, 3), np.uint8)

    def pieces() -> Iterator[Piece]:
        at = 0
        for length in lengths:
            memory[:] = 255  # as a decoder may, from the moment when the next piece is asked for
            memory[:length] = np.arange(at, at + length).reshape(-1, 1, 1, 1)
            yield Piece(np.arange(at, at + length) * 5, memory, np.array([5 * at]))
            at += length

    n = sum(lengths)
    with pretended_gpu():
        batches = list(uploaded(pieces(), 4, CUDA))
        shown = [batch.pictures.cpu()[:, 0, 0, 0].tolist() for batch in batches]
    numbers = [list(range(start, min(start + 4, n))) for start in range(0, n, 4)]
    assert [batch.frame_index.tolist() for batch in batches] == [[5 * k for k in one] for one in numbers]
    assert shown == [one + one[-1:] * (4 - len(one)) for one in numbers]
    begins = np.cumsum([0, *lengths[:-1]]) * 5
    assert np.concatenate([batch.substituted for batch in batches]).tolist() == begins.tolist()


@pytest.mark.parametrize(("name", "n_most"), [("regnety_002", 6), ("regnety_002+gsf", 2)])
def test_rows_of_a_gpu_are_those_of_the_cpu_and_nobody_waits_but_for_them(video: Path, name: str, n_most: int) -> None:
    probe = probe_video(video)
    settings = Settings(batch_rows=16, views=("original", "hflip"))
    with SegmentRunner(ExtractionJob(load_backbone(BackboneSpec(name, "random", SIZE), CPU), CPU, settings)) as runner:
        runner.open(probe, "pyav")
        want = list(runner.rows(Segment(8, 48), match="m"))
    with pretended_gpu(), SegmentRunner(ExtractionJob(on_gpu(name), CUDA, settings)) as runner:
        runner.open(probe, "pyav")
        list(runner.rows(Segment(0, 16), match="m"))  # the graphs are recorded, and what they give is looked at
        n_waits = PretendedTensor.counts["syncs"]
        found = list(runner.rows(Segment(8, 48), match="m"))
        assert PretendedTensor.counts["syncs"] - n_waits <= n_most
        assert [len(record) for record in runner.records(Segment(0, 64), match="m")] == [64]
    for view in settings.views:
        one, other = (np.concatenate([block.features[view] for block in blocks]) for blocks in (want, found))
        assert np.abs(one - other).max() <= 0.01 * np.abs(one).max()
    assert np.concatenate([block.frame_index for block in found]).tolist() == list(range(8, 48))


def test_several_decoders_give_the_rows_of_one_in_order(video: Path) -> None:
    probe = probe_video(video)
    job = ExtractionJob(load_backbone(BackboneSpec("regnety_002", "random", SIZE), CPU), CPU, Settings())
    from ballspot.extract.rows import segments

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "SEGMENT_ROWS", 40)
        with Decoders(SegmentRunner(job), n_decoders=1) as one, Decoders(SegmentRunner(job), n_decoders=3) as three:
            # The engine of a CPU has no room of its own for each thread: here they take turns.
            lock = three.runners[0].engine.lock
            compute = three.runners[0].engine.__class__.tensor

            def in_turn(engine, pictures):
                with lock:
                    return compute(engine, pictures).clone()

            patch.setattr(three.runners[0].engine.__class__, "tensor", in_turn)
            want = np.concatenate([block.features["original"] for block in one.rows(probe, "pyav", match="m")])
            blocks = list(three.rows(probe, "pyav", match="m"))
            assert len(three.runners) > 1
    assert np.concatenate([block.frame_index for block in blocks]).tolist() == list(range(250))
    np.testing.assert_array_equal(np.concatenate([block.features["original"] for block in blocks]), want)
