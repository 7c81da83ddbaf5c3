"""Push and pull through the real client of the hub, against a hub of one process."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants

from ballspot.temporal.bundle.bundle import load_bundle

from ...commands import ballspot
from .local_hub import running_hub

FILES = {"model.ballspot", "README.md", "config.toml"}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that this process takes for the one there is."""
    with running_hub() as one:
        monkeypatch.setattr(constants, "ENDPOINT", one.url)
        template = f"{one.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)  # made of ENDPOINT at import
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setenv("HF_TOKEN", "made-up")
        yield one


def in_its_own_process(home: Path, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as one types it: the client reads its settings from the environment, once, when it is imported."""
    settings = {"HF_HOME": str(home), "HF_TOKEN": "made-up", "HF_HUB_DISABLE_TELEMETRY": "1", **environment}
    line = [sys.executable, "-m", "ballspot.cli", *map(str, words)]
    return subprocess.run(
        line, env={**os.environ, **settings}, capture_output=True, text=True, check=False, timeout=1800
    )


def test_a_head_goes_to_the_hub_alone_and_comes_back_to_predict(shared, hub, tmp_path):
    pushed = ballspot("hub", "push", shared.plain_run, "me/first")
    assert pushed.exit_code == 0, pushed.stderr
    assert pushed.stdout == f"{hub.url}/me/first: 1 head(s), private\n"
    assert hub.private == {"me/first": True}
    assert hub.files["me/first"].keys() == FILES
    assert len(hub.files["me/first"]["model.ballspot"]) < 1_000_000  # no backbone
    assert hub.files["me/first"]["README.md"].startswith(b"---\n")
    out = tmp_path / "got"
    pulled = in_its_own_process(tmp_path / "home", "hub", "pull", "me/first", "--out", out, HF_ENDPOINT=hub.url)
    assert pulled.returncode == 0, pulled.stderr
    assert {path.name for path in out.iterdir()} == FILES
    bundle = load_bundle(out / "model.ballspot")
    assert bundle.features[0].weights is None and bundle.features[0].origin == "random"
    predict = ("predict", out / "model.ballspot", shared.plain, "--data", shared.data, "--split", "test")
    predicted = ballspot(*predict, "--out", tmp_path / "spots")
    assert predicted.exit_code == 0, predicted.stderr
    again = ballspot("hub", "pull", "me/first", "--out", out)
    assert (again.exit_code, again.stderr.count("\n")) == (1, 1)
    assert "already exists" in again.stderr


def test_features_and_backbone_go_only_when_they_are_asked_for(shared, hub, tmp_path):
    push = ("hub", "push", shared.plain_run, "me/whole", "--with-backbone", "--with-features", shared.plain, "--public")
    pushed = ballspot(*push)
    assert pushed.exit_code == 0, pushed.stderr
    assert "note: features are sent; they are made from videos" in pushed.stderr
    assert hub.private == {"me/whole": False}
    stores = {f"features/seen/synth/drawn/match-0{number}.h5" for number in (1, 2, 3)}
    assert hub.files["me/whole"].keys() == FILES | stores
    assert len(hub.files["me/whole"]["model.ballspot"]) > 10_000_000
    here = [str(place).encode() for place in (shared.plain.parent, shared.data.parent, Path.home())]
    assert not [name for name, content in hub.files["me/whole"].items() for place in here if place in content]
    hub.files["me/whole"]["features/../../outside.h5"] = b"x"
    hub.files["me/whole"]["features/run.py"] = b"x"
    pulled = ballspot("hub", "pull", "me/whole", "--out", tmp_path / "got", "--with-features")
    assert pulled.exit_code == 0, pulled.stderr
    got = {path.relative_to(tmp_path / "got").as_posix() for path in (tmp_path / "got").rglob("*") if path.is_file()}
    assert got == FILES | stores
    assert not any("outside" in asked or "run.py" in asked for asked in hub.asked)
    private = ballspot("hub", "push", shared.plain_run, "me/whole")
    assert (private.exit_code, private.stderr.count("\n")) == (1, 1)
    assert "everybody sees this repository; give --public" in private.stderr
    other = ballspot(*push[:4], "--with-features", shared.components)
    assert "is not the run's" in other.stderr and other.exit_code == 1


class Payload:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def test_a_run_whose_features_are_not_found_is_pushed_with_features_that_stay_here(shared, hub, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(shared.plain_run, run)
    (run / "run.json").write_text((run / "run.json").read_text().replace(str(shared.plain), "/nowhere/set"))
    refused = ballspot("hub", "push", run, "me/moved")
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert "looked at /nowhere/set" in refused.stderr
    pushed = ballspot("hub", "push", run, "me/moved", "--features", shared.plain)
    assert pushed.exit_code == 0, pushed.stderr
    assert ballspot("hub", "pull", "me/moved", "--out", tmp_path / "pulled").exit_code == 0
    assert load_bundle(tmp_path / "pulled" / "model.ballspot").features[0].spec.backbone
    assert not list((tmp_path / "pulled").rglob("*.h5"))


def test_what_is_no_bundle_on_the_hub_leaves_nothing_and_runs_nothing(hub, tmp_path):
    mark, out = tmp_path / "mark", tmp_path / "got"
    hub.private["me/bad"] = False
    hub.files["me/bad"] = {"model.ballspot": pickle.dumps(Payload(mark)), "README.md": b"# hello"}
    result = ballspot("hub", "pull", "me/bad", "--out", out)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.stderr
    assert not mark.exists() and not out.exists()
    hub.files["me/bad"] = {"pytorch_model.bin": b"x"}
    result = ballspot("hub", "pull", "me/bad", "--out", out)
    assert "holds no model.ballspot" in result.stderr and not out.exists()


@pytest.mark.parametrize("case", ["unknown", "name", "offline", "silent"])
def test_whatever_is_wrong_is_told_in_one_line(hub, tmp_path, monkeypatch, case):
    repo = "a/b/c/d" if case == "name" else "me/none"
    if case == "offline":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    if case == "silent":
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    result = ballspot("hub", "pull", repo, "--out", tmp_path / "got")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.stderr
    assert result.stderr.startswith(f"Error: {repo}: ")
    said = {"offline": "offline mode is set", "silent": "no answer from", "unknown": "404", "name": "check the name"}
    assert said[case] in result.stderr
