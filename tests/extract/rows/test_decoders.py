"""Several decoders that feed one engine."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ballspot.extract.backbone.load import load_backbone
from ballspot.extract.backbone.spec import BackboneSpec
from ballspot.extract.rows.decoders import Decoders
from ballspot.extract.rows.job import ExtractionJob, Settings
from ballspot.extract.rows.segments import SegmentRunner
from ballspot.extract.video.probe import probe_video

CPU = torch.device("cpu")
SIZE = (32, 48)


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
