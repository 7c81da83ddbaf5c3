"""`hub:OWNER/NAME` through the real client of the hub, against a hub of one process."""

import io
import json
import pickle

import pytest
import timm
import torch
from click.testing import CliRunner, Result
from huggingface_hub import constants

from ballspot.cache.errors import BallspotError
from ballspot.cli import main
from ballspot.temporal.adopted import checkpoint_path

from ..bundle.local_hub import Hub, running_hub


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that this process takes for the one there is, with an empty cache."""
    with running_hub() as one:
        template = f"{one.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", one.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)  # made of ENDPOINT at import
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        yield one


def put(hub: Hub, repo: str, **files: bytes) -> None:
    hub.files[repo], hub.private[repo] = {name.replace("__", "/"): content for name, content in files.items()}, False


def adopt(*words: object) -> Result:
    return CliRunner().invoke(main, ["adopt", *map(str, words)])


@pytest.fixture(scope="module")
def checkpoint() -> bytes:
    """A plain E2E-Spot with a linear head for three classes."""
    features = timm.create_model("regnety_002", num_classes=0).state_dict()
    state = {f"_features.{key}": value for key, value in features.items()}
    head = {"_pred_fine._fc_out.weight": torch.randn(4, 368), "_pred_fine._fc_out.bias": torch.zeros(4)}
    written = io.BytesIO()
    torch.save({**state, **head}, written)
    return written.getvalue()


def test_a_repository_becomes_a_run_with_its_own_settings_and_nothing_else_is_got(hub, checkpoint, tmp_path):
    said = {"clip_len": 24, "crop_dim": -1, "num_classes": 3, "dataset": "tennis"}
    put(hub, "some.one/spot", **{"checkpoint_007.pt": checkpoint, "config.json": json.dumps(said).encode(),
                                 "run.py": b"raise SystemExit", "README.md": b"# A model"})  # fmt: skip
    (tmp_path / "three.toml").write_text('labels = ["A", "B", "C"]\n')
    done = adopt("hub:some.one/spot", "--out", tmp_path / "run", "--labels", tmp_path / "three.toml")
    assert done.exit_code == 0, done.output
    assert "E2E-Spot" in done.stdout and "no crop" in done.stderr and "clips of 24 rows" in done.stderr
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["adopted"]["checkpoint"] == "checkpoint_007.pt"
    got = {path.rpartition("/")[2] for path in hub.asked if "/resolve/" in path}
    assert got == {"checkpoint_007.pt", "config.json"}


def test_which_checkpoint_must_be_clear(hub):
    put(hub, "a/b", **{"best__last.pt": b"1", "other.safetensors": b"2", "run.py": b"x", "..__out.pt": b"3"})
    with pytest.raises(
        BallspotError, match=r"2 checkpoints \(best/last.pt, other.*name one, e.g. hub:a/b/best/last.pt"
    ):
        checkpoint_path("hub:a/b")
    assert checkpoint_path("hub:a/b/best/last.pt").read_bytes() == b"1"
    assert checkpoint_path("hub:a/b/other.safetensors@main").read_bytes() == b"2"
    put(hub, "a/none", **{"run.py": b"x"})
    for text, message in (
        ("hub:a/none", "holds no checkpoint"),
        ("hub:a/b/more.pt", "holds no file 'more.pt'; its checkpoints are best/last.pt"),
        ("hub:a/b/../out.pt", "holds no file"),
        ("hub:a", "is not hub:OWNER/NAME"),
        ("hub:", "is not hub:OWNER/NAME"),
        ("hub:a/missing", "a/missing: .* or its client refuses"),
    ):
        with pytest.raises(BallspotError, match=message):
            checkpoint_path(text)


class Harm:
    """What a pickle could do, were it loaded with all that pickles may do."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('it ran')",)


def test_code_in_a_checkpoint_is_refused_not_run(hub, tmp_path):
    put(hub, "a/harm", **{"checkpoint.pt": pickle.dumps({"_pred_fine.x": Harm()})})
    done = adopt("hub:a/harm", "--out", tmp_path / "run")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "not a weights file" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_hub_that_is_not_there_is_told_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    done = adopt("hub:a/b", "--out", tmp_path / "run")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "a/b: no answer from http://127.0.0.1:9" in done.stderr
