"""Pickles run code when they are read: wherever one is slipped in, it is refused in one line and nothing runs."""

import io
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result

from ...commands import ballspot


class Payload:
    """What touches a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def plain(mark: Path) -> bytes:
    return pickle.dumps({"state_dict": {"weight": Payload(mark)}})


def of_torch(mark: Path) -> bytes:
    stream = io.BytesIO()
    torch.save({"state_dict": {"weight": torch.zeros(2), "more": Payload(mark)}}, stream)
    return stream.getvalue()


def of_old_torch(mark: Path) -> bytes:
    stream = io.BytesIO()
    torch.save({"model": Payload(mark)}, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


MAKERS = [plain, of_torch, of_old_torch]


def require_refused(result: Result, mark: Path) -> None:
    assert result.exit_code == 1, result.output + result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and result.stderr.endswith(errors[0] + "\n")
    assert not mark.exists()


@pytest.mark.parametrize("make", MAKERS)
def test_the_payload_does_run_where_it_is_read_carelessly(make, tmp_path):
    mark = tmp_path / "mark"
    content = make(mark)
    if make is plain:
        pickle.loads(content)
    else:
        torch.load(io.BytesIO(content), weights_only=False)
    assert mark.exists()


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", ["a.ballspot", "a.pt", "a.safetensors"])
def test_in_place_of_a_bundle(shared, tmp_path, make, name):
    mark, path = tmp_path / "mark", tmp_path / name
    path.write_bytes(make(mark))
    out = tmp_path / "out"
    require_refused(ballspot("predict", path, shared.plain, "--data", shared.data, "--out", out), mark)
    for form in ("onnx", "card"):
        require_refused(ballspot("export", path, "--format", form, "--out", out), mark)
    require_refused(ballspot("export", path, "--format", "bundle", "--out", out), mark)
    assert not out.exists()


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.safetensors"])
def test_in_place_of_weights(shared, tmp_path, make, name):
    mark, path = tmp_path / "mark", tmp_path / name
    path.write_bytes(make(mark))
    words = ("extract", shared.data, "--out", tmp_path / "f", "--size", "64x96", "--backbone", "regnety_002")
    require_refused(ballspot(*words, "--weights", path, "--workers", 1), mark)
    backbone = tmp_path / "run" / "backbone.safetensors"
    backbone.parent.mkdir()
    backbone.write_bytes(make(mark))
    require_refused(ballspot(*words, "--weights", backbone.parent, "--workers", 1), mark)


@pytest.mark.parametrize("make", MAKERS)
def test_inside_a_run(shared, tmp_path, make):
    mark = tmp_path / "mark"
    run = tmp_path / "run"
    shutil.copytree(shared.plain_run, run)
    predict = ("predict", run, shared.plain, "--data", shared.data, "--split", "all", "--device", "cpu")
    for name in ("optimizer.pt", "state.pth", "model.pkl", "predictions/valid/x.pkl"):
        (run / name).write_bytes(make(mark))  # what nothing asks for is never read
    assert ballspot(*predict, "--out", tmp_path / "fine").exit_code == 0
    (run / "best.safetensors").write_bytes(make(mark))
    require_refused(ballspot(*predict, "--out", tmp_path / "out"), mark)
    require_refused(ballspot("export", run, "--format", "bundle", "--out", tmp_path / "b.ballspot"), mark)
    shutil.copy(shared.plain_run / "best.safetensors", run)
    (run / "backbone.safetensors").write_bytes(make(mark))
    require_refused(ballspot("export", run, "--format", "bundle", "--out", tmp_path / "b.ballspot"), mark)
    assert not mark.exists()


def test_inside_a_feature_set_and_saved_scores(shared, tmp_path):
    mark = tmp_path / "mark"
    sets = tmp_path / "features"
    shutil.copytree(shared.components, sets)
    (sets / "pca.safetensors").write_bytes(plain(mark))
    bundle = ("export", shared.components_runs, "--format", "bundle", "--out", tmp_path / "b.ballspot")
    require_refused(ballspot(*bundle, "--features", sets), mark)
    run = tmp_path / "run"
    shutil.copytree(shared.plain_run, run)
    saved = next(run.rglob("scores.npz"))
    array = np.empty(1, dtype=object)
    array[0] = Payload(mark)
    np.savez(saved, scores=array, frame_index=array, labels=array)
    require_refused(ballspot("tune", run, "--data", shared.data), mark)
