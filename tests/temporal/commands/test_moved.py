"""A run is used from another working folder, after its project folder was renamed, and with features elsewhere."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import save_file

from ballspot.cache.runs import RunFolder
from ballspot.cache.stores import FeatureStore, find_stores
from ballspot.evaluate.dataset import DataSelection, data_root_of, given_predictions, load_label_set
from ballspot.evaluate.viewer import find_view, open_sides
from ballspot.extract.backbone import BackboneSpec, load_model
from ballspot.temporal.bundle import run_features
from ballspot.temporal.training import run as training_module

from ...commands import ballspot, done
from ...faults.season import Season

ABSOLUTE, TYPED = "absolute", "as typed"


class Project(Season):
    """A project folder with data, features and a run, whose record holds ``paths`` in one of two ways."""

    @property
    def features(self) -> Path:
        return self.root / "features" / "seen"

    @property
    def run(self) -> Path:
        return self.root / "runs" / "plain"


@pytest.fixture(params=[ABSOLUTE, TYPED])
def project(request, shared, tmp_path: Path, monkeypatch) -> Project:
    """Paths as they are recorded now, and as ballspot 0.1.0 recorded them in the project folder."""
    made = Project(tmp_path / "project")
    shutil.copytree(shared.data, made.data)
    shutil.copytree(shared.plain, made.features)
    shutil.copytree(shared.plain_run, made.run)
    data, features = (made.data, made.features) if request.param == ABSOLUTE else ("data", "features/seen")
    rewrite(made.run / "run.json", {shared.data: data, shared.plain: features})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return made


def rewrite(path: Path, places: dict[Path, Path | str]) -> None:
    text = path.read_text()
    for old, new in places.items():
        assert json.dumps(str(old))[1:-1] in text
        text = text.replace(str(old), str(new))
    path.write_text(text)


def everything(project: Project, out: Path) -> Iterator[tuple[str, object]]:
    """What the commands that read a run's record make of it, none of them being told where things lie."""
    run = project.run
    sides = open_sides((run,), split=None)
    data = data_root_of(given_predictions([run], None), None)
    view = find_view(sides, DataSelection(data, load_label_set("ball-12")), fps=25.0)
    yield "view", [(match.name, match.files, len(match.videos)) for match in view.matches]
    compared = json.loads(done("compare", run, "--split", "test", "--format", "json").stdout)
    yield "compare", {**compared, "runs": [{**one, "path": ""} for one in compared["runs"]]}
    yield "tune", done("tune", run, "--out", out / "tuned.json", "--json").stdout
    done("export", run, "--format", "bundle", "--out", out / "a.ballspot")
    yield "bundle", (out / "a.ballspot").read_bytes()
    done("export", run, "--format", "card", "--out", out / "card.md")
    yield "card", (out / "card.md").read_text()


def test_a_run_is_used_from_another_folder_and_after_its_project_was_renamed(project, shared, tmp_path):
    words = (shared.plain, "--data", shared.data, "--split", "test", "--device", "cpu")
    done("predict", project.run, *words)
    made = []
    for name in ("first", "renamed"):
        (tmp_path / name).mkdir()
        made.append(dict(everything(project, tmp_path / name)))
        moved = Project(tmp_path / "another" / "name")
        if name == "first":
            moved.root.parent.mkdir()
            project.root.rename(moved.root)
            project = moved
    first, renamed = made
    assert first.keys() == renamed.keys()
    assert all(first[name] == renamed[name] for name in first)
    assert "| part | matches | labels |" in first["card"]
    assert first["view"][0][2] == 1
    assert RunFolder(project.run).record()["key"] == RunFolder(shared.plain_run).record()["key"]
    spots = [path / "predictions" / "test" for path in (project.run, tmp_path / "again")]
    done("predict", project.run, project.features, *words[1:], "--out", spots[1])
    assert [path.read_bytes() for path in sorted(spots[0].rglob("*spotting.json"))] == [
        path.read_bytes() for path in sorted(spots[1].rglob("*spotting.json"))
    ]


def test_features_that_lie_elsewhere_are_asked_for_and_then_taken(project, tmp_path):
    whole, moved = tmp_path / "whole.ballspot", tmp_path / "disk" / "seen"
    done("export", project.run, "--format", "bundle", "--out", whole)
    moved.parent.mkdir()
    project.features.rename(moved)
    out = tmp_path / "b.ballspot"
    for words in ((), ("--with-backbone",)):
        refused = ballspot("export", project.run, "--format", "bundle", "--out", out, *words)
        assert (refused.exit_code, refused.stderr.count("\n"), out.exists()) == (1, 1, False)
        assert "its feature set was not found from here: looked" in refused.stderr
        assert "give --features FOLDER" in refused.stderr
        assert ("--without-backbone" in refused.stderr) == (not words)
    done("export", project.run, "--format", "bundle", "--out", out, "--features", moved)
    assert out.read_bytes() == whole.read_bytes()
    video = next(project.data.rglob("*.mp4"))
    refused = ballspot("predict", project.run, video, "--out", tmp_path / "spots", "--device", "cpu")
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert "give --features FOLDER" in refused.stderr
    done("predict", project.run, video, "--out", tmp_path / "spots", "--device", "cpu", "--features", moved)
    light = done("export", project.run, "--format", "bundle", "--out", tmp_path / "light", "--without-backbone")
    assert "predicts from features, not from video" in light.stderr


def test_data_that_lie_elsewhere_are_asked_for_and_then_taken(project, tmp_path):
    moved = tmp_path / "disk" / "matches"
    moved.parent.mkdir()
    project.data.rename(moved)
    for words in (("view", project.run, "--no-open"), ("tune", project.run, "--out", tmp_path / "tuned.json")):
        refused = ballspot(*words)
        assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
        assert "its data root was not found from here: looked" in refused.stderr
        assert "give --data" in refused.stderr
    assert "were not found from here; give --data" in done("compare", project.run).stderr
    done("tune", project.run, "--data", moved, "--out", tmp_path / "tuned.json")
    counts = []
    for name, words in (("with", ("--data", moved)), ("without", ())):
        done("export", project.run, "--format", "card", "--out", tmp_path / name, *words)
        counts.append("| part | matches | labels |" in (tmp_path / name).read_text())
    assert counts == [True, False]


def test_another_set_where_the_features_lay_is_not_taken(project, shared):
    shutil.rmtree(project.features)
    shutil.copytree(shared.components, project.features)
    out = project.root / "a.ballspot"
    refused = ballspot("export", project.run, "--format", "bundle", "--out", out)
    assert (refused.exit_code, out.exists()) == (1, False)
    assert "is not the run's" in refused.stderr
    kept = project.root / "runs" / "features" / "seen"
    shutil.copytree(shared.plain, kept)
    done("export", project.run, "--format", "bundle", "--out", out)


@pytest.mark.parametrize("paths", [ABSOLUTE, TYPED])
def test_a_half_trained_run_goes_on_after_its_project_was_renamed(paths, shared, tmp_path, monkeypatch):
    old = Project(tmp_path / "project")
    shutil.copytree(shared.data, old.data)
    shutil.copytree(shared.plain, old.features)
    settings = ("kind=gru", "width=16", "clip_frames=20", "n_epochs=2", "warmup_epochs=0", "epoch_frames=400")
    more = ["--device", "cpu", *(word for one in settings for word in ("--set", one))]
    honest = training_module.train_epoch

    def second_epoch_dies(*arguments, epoch, **how):
        if epoch == 2:
            raise KeyboardInterrupt
        return honest(*arguments, epoch=epoch, **how)

    monkeypatch.setattr(training_module, "train_epoch", second_epoch_dies)
    monkeypatch.chdir(old.root)
    assert (
        ballspot("train", "features/seen", "--data", "data", "--run", "runs/plain", *more).exit_code == 130
    )  # as shells have it for Ctrl-C
    monkeypatch.setattr(training_module, "train_epoch", honest)
    before = RunFolder(old.run).record()
    assert before["data"] == str(old.data)
    assert all(Path(one).is_absolute() for one in before["features"]["files"].values())
    if paths == TYPED:
        rewrite(old.run / "run.json", {old.data: "data", old.features: "features/seen"})
    new = Project(tmp_path / "renamed")
    monkeypatch.chdir(tmp_path)
    old.root.rename(new.root)
    resumed = done("train", new.features, "--data", new.data, "--run", new.run, *more)
    assert "resuming after epoch 1 of 2" in resumed.stderr
    after = RunFolder(new.run).record()
    assert (after["key"], after["data"]) == (before["key"], str(new.data))
    assert all(one.startswith(f"{new.features}/") for one in after["features"]["files"].values())
    again = done("train", new.features, "--data", new.data, "--run", new.run, *more)
    assert "this run is already done" in again.stderr


def test_nothing_that_is_shared_says_where_things_lie(shared, tmp_path):
    done("export", shared.plain_run, "--format", "bundle", "--out", tmp_path / "a.ballspot")
    done("export", shared.plain_run, "--format", "card", "--out", tmp_path / "card.md")
    record = json.loads((shared.plain_run / "run.json").read_text())
    run = tmp_path / "run"
    shutil.copytree(shared.plain_run, run)
    line = f"ballspot train {shared.plain} --data={shared.data} --set spill={shared.data} --run runs/kind=tcn"
    (run / "run.json").write_text(json.dumps({**record, "command_line": line}))
    done("compare", run, "--report", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert f"ballspot train {shared.plain.name} --data=data --set spill=data --run runs/kind=tcn" in page
    for text in (page, (tmp_path / "card.md").read_text(), (tmp_path / "a.ballspot").read_bytes().decode("latin-1")):
        assert str(shared.data.parent) not in text
        assert str(shared.plain.parent) not in text


def test_weights_that_moved_with_the_features_are_told_by_their_digest(project):
    with FeatureStore.open(next(iter(find_stores(project.features).values()))) as store:
        spec = store.spec
    for folder, weights in ((project.root, "random:3"), (project.root / "runs", "random:4")):
        (folder / "weights").mkdir()
        state = load_model(BackboneSpec(spec.backbone, weights, spec.size)).model.state_dict()
        save_file(state, folder / "weights" / "w.safetensors")
    near = (project.run, project.features)
    found = run_features._weights_now(spec, "/old/project/weights/w.safetensors", near)
    assert found == str(project.root / "weights" / "w.safetensors")
    for text in ("random:3", "/old/weights/other.safetensors"):
        assert run_features._weights_now(spec, text, near) == text
