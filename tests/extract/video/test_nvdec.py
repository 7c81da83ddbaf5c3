"""A GPU's decoder as torchcodec has it, in its place a torchcodec that decodes with PyAV and says what a GPU would."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from ballspot.cache.stores import FeatureSpec
from ballspot.cli import main
from ballspot.extract.backbone.load import load_backbone
from ballspot.extract.backbone.spec import BackboneSpec
from ballspot.extract.rows import default_set_name, extract_options
from ballspot.extract.rows.job import ExtractionJob, Settings
from ballspot.extract.video.probe import DecodingError, probe_video
from ballspot.extract.video.sources import open_source

CPU = torch.device("cpu")


class Fallback:
    """As torchcodec's: true where the CPU decodes, and says why."""

    def __init__(self, why: str) -> None:
        self.why = why

    def __bool__(self) -> bool:
        return bool(self.why)

    def __str__(self) -> str:
        return f"{self.why}."


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the decoder was opened with; `fallback` is what it says of the CPU."""
    told: dict[str, Any] = {"fallback": Fallback("")}

    class VideoDecoder:
        def __init__(self, path: str, **options: Any) -> None:
            told.update(options)
            with av.open(path) as container:
                frames = list(container.decode(video=0))
            self.data = torch.from_numpy(np.stack([frame.to_ndarray(format="rgb24") for frame in frames]))
            self.times = torch.tensor([float(frame.time) for frame in frames], dtype=torch.float64)
            if told["fallback"] is not None:
                self.cpu_fallback = told["fallback"]

        def __len__(self) -> int:
            return len(self.times)

        def get_frame_at(self, index: int) -> Any:
            return SimpleNamespace(data=self.data[index], pts_seconds=float(self.times[index]))

        def get_frames_in_range(self, start: int, stop: int) -> Any:
            return SimpleNamespace(data=self.data[start:stop], pts_seconds=self.times[start:stop])

    package, decoders = ModuleType("torchcodec"), ModuleType("torchcodec.decoders")
    package.__dict__["__version__"] = "0.9.0"
    decoders.__dict__["VideoDecoder"] = VideoDecoder
    monkeypatch.setitem(sys.modules, "torchcodec", package)
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", decoders)
    return told


def test_the_gpu_that_computes_is_asked_to_decode(video: Path, asked: dict[str, Any]) -> None:
    probe = probe_video(video)
    source = open_source(probe, "nvdec@cuda:1")
    assert (source.name, asked["device"]) == ("nvdec", "cuda:1")
    found, want = (np.stack(list(one.frames(3, 40, 4))) for one in (source, open_source(probe, "pyav")))
    np.testing.assert_array_equal(found, want)
    open_source(probe, "torchcodec")
    assert asked["device"] == "cpu"


def test_what_a_cpu_would_decode_is_refused(video: Path, asked: dict[str, Any]) -> None:
    asked["fallback"] = Fallback("Video format not supported")
    with pytest.raises(
        DecodingError, match=r"this GPU cannot decode it \(Video format not supported\); give --decoder"
    ):
        open_source(probe_video(video), "nvdec@cuda:0")
    asked["fallback"] = None  # of a torchcodec that does not know
    with pytest.raises(DecodingError, match=r"torchcodec 0\.9\.0 does not say .* install 0\.10 or later$"):
        open_source(probe_video(video), "nvdec@cuda:0")
    open_source(probe_video(video), "torchcodec")


def test_it_is_part_of_the_fingerprint_and_no_other_decoder_is() -> None:
    backbone = load_backbone(BackboneSpec("resnet10t", "random", (32, 48)), CPU)
    plain, other, gpu = (
        ExtractionJob(backbone, CPU, Settings(decoder=one)).spec for one in ("pyav", "decord", "nvdec")
    )
    assert plain.fingerprint == other.fingerprint != gpu.fingerprint
    assert plain.differing(gpu) == ["decoder"] and FeatureSpec.read(gpu.as_json()) == gpu
    assert "--decoder nvdec" in extract_options(gpu, "hub") and "--decoder" not in extract_options(plain, "hub")
    with pytest.raises(ValueError, match="decoder"):
        FeatureSpec.read({**plain.as_json(), "decoder": "pyav"})


def test_it_is_refused_without_a_gpu_and_without_torchcodec(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["extract", str(drawn), "--out", str(tmp_path), "--weights", "random", "--decoder", "nvdec"]
    result = CliRunner().invoke(main, [*words, "--device", "cpu"])
    want = "Error: --decoder nvdec: is a GPU's, and the device is not cuda; give --decoder auto\n"
    assert (result.exit_code, result.stderr) == (1, want)
    monkeypatch.setattr("ballspot.extract.device.pick_devices", lambda device, on: ["cuda:0"])
    monkeypatch.setattr("ballspot.extract.commands.extract.find_spec", lambda name: None)
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1 and "--decoder nvdec: torchcodec is not installed; pip install" in result.stderr
    assert not any(tmp_path.iterdir())
    assert default_set_name(BackboneSpec("resnet10t", "random", (32, 48)), Settings()).startswith("resnet10t-random")
