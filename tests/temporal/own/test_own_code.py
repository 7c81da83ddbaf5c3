"""A head and losses of a user's own file: trained, resumed, swept, predicted, bundled, moved, refused when changed."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from ballspot.cache import code
from ballspot.cache.errors import BallspotError
from ballspot.temporal.config import as_table, changed_config, config_from_table, load_config
from ballspot.temporal.heads.checkpoints import read_checkpoint
from ballspot.temporal.heads.head import build_head
from ballspot.temporal.training.epoch import loss_means, loss_totals

from ...commands import ballspot

EXAMPLES = Path(__file__).parents[3] / "examples"
WHOLE = """from torch import nn


class Whole(nn.Module):
    def __init__(self, dim, n_classes, temporal_stride):
        super().__init__()
        self.stride = temporal_stride
        self.gru = nn.GRU(dim, 8, batch_first=True, bidirectional=True)
        self.logits, self.offset = nn.Linear(16, 1 + n_classes), nn.Linear(16, 1)

    def forward(self, frames):
        tokens = self.gru(frames)[0][:, :: self.stride]
        return self.logits(tokens), self.offset(tokens).squeeze(-1)
"""
SMALL = ("--device", "cpu", "--preset", "fast", "--set", "n_epochs=2", "--set", "epoch_frames=600")


@pytest.fixture
def project(season, tmp_path, monkeypatch) -> Path:
    """A working folder with the example files, a season below it, and a user who has named nothing before."""
    folder = tmp_path / "project"
    shutil.copytree(season.data, folder / "data")
    shutil.copytree(season.features, folder / "features" / "set")
    for name in ("heads.py", "losses.py"):
        (folder / name).write_text((EXAMPLES / name).read_text() + f"# {tmp_path}\n")  # digests of their own
    (folder / "whole.py").write_text(WHOLE)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return folder


def trained(run: str, *more: str):
    return ballspot("train", "features/set", "--data", "data", "--run", run, *SMALL, *more)


OWN = ("--head", "heads.py:Conv", "--set", "class_loss=losses.py:smooth", "--set", "offset_loss=losses.py:cauchy")


def forget(monkeypatch, tmp_path: Path) -> None:
    """Makes this process one of another user, who has named no code."""
    monkeypatch.setattr(code.trust, "_seen", set())
    monkeypatch.setattr(code.places, "_held", {})
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))


def predicted(source: object, out: str, *more: object, features: str = "features/set", data: str = "data"):
    return ballspot("predict", source, features, "--data", data, "--out", out, "--device", "cpu", *more)


def spots(out: str) -> str:
    return next(Path(out).rglob("results_spotting.json")).read_text()


def test_a_run_of_own_code_is_resumed_predicted_moved_and_refused_when_its_file_changes(project, tmp_path, monkeypatch):
    done = trained("runs/a", *OWN)
    assert done.exit_code == 0, done.output
    assert "already done" in trained("runs/a", *OWN).stderr
    assert predicted("runs/a", "p1").exit_code == 0
    content = Path("heads.py").read_text()
    Path("heads.py").write_text(content + "# changed\n")
    for refused in (predicted("runs/a", "p2"), trained("runs/a", *OWN), ballspot(
        "export", "runs/a", "--format", "bundle", "--without-backbone", "--out", "a.ballspot")):  # fmt: skip
        assert refused.exit_code == 1 and len(refused.stderr.splitlines()) == 1
        assert "heads.py has changed since" in refused.stderr and "runs/a/code/heads-" in refused.stderr
    assert predicted("runs/a", "p2", "--trust-code").exit_code == 0 and spots("p2") == spots("p1")
    Path("heads.py").write_text(content)
    Path("losses.py").write_text("")  # predicting needs no loss
    assert predicted("runs/a", "p3").exit_code == 0
    shutil.copy(next(Path("runs/a/code").glob("losses-*")), "losses.py")
    moved = tmp_path / "elsewhere"
    project.rename(moved)
    monkeypatch.chdir(moved)
    code.places._held.clear()
    done = predicted("runs/a", "p4")
    assert done.exit_code == 0 and spots("p4") == spots("p1"), done.output
    assert "already done" in trained("runs/a", *OWN).stderr  # the key knows no folder
    forget(monkeypatch, tmp_path)
    shutil.move("heads.py", "hidden.py")
    refused = predicted("runs/a", "p5")
    assert refused.exit_code == 1 and "give --trust-code to run the kept copy" in refused.stderr


def test_an_interrupted_run_goes_on_to_the_same_bits(project):
    assert trained("whole", *OWN).exit_code == 0
    assert trained("cut", *OWN, "--set", "n_epochs=2").exit_code == 0
    shutil.rmtree("cut")
    shutil.copytree("whole", "cut")
    for name in ("metrics.json", "best.safetensors", "last.safetensors"):
        (Path("cut") / name).unlink()
    assert trained("cut", *OWN).exit_code == 0
    heads = [read_checkpoint(Path(run) / "best.safetensors").head for run in ("whole", "cut")]
    assert all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])


def test_a_bundle_carries_its_code_and_waits_for_a_stranger_to_allow_it(project, tmp_path, monkeypatch):
    assert trained("runs/a", *OWN).exit_code == 0
    done = ballspot("export", "runs/a", "--format", "bundle", "--without-backbone", "--out", "a.ballspot")
    assert done.exit_code == 0, done.output
    content = Path("a.ballspot").read_bytes()
    assert str(project).encode() not in content  # no folder of this machine travels
    assert predicted("runs/a", "p1").exit_code == 0 and predicted("a.ballspot", "p2").exit_code == 0
    forget(monkeypatch, tmp_path)
    refused = predicted("a.ballspot", "p3")
    assert refused.exit_code == 1 and "heads.py:Conv" in refused.stderr and "--trust-code" in refused.stderr
    assert not Path("p3").exists()
    assert predicted("a.ballspot", "p3", "--trust-code").exit_code == 0
    assert spots("p1") == spots("p2") == spots("p3")
    forget(monkeypatch, tmp_path)
    assert predicted("a.ballspot", "p4").exit_code == 1  # allowed once is not allowed always
    Path("b.ballspot").write_bytes(content.replace(b"super()", b"SUPER()"))
    assert "damaged" in predicted("b.ballspot", "p5", "--trust-code").stderr


def test_a_sweep_has_own_code_on_its_axes(project):
    (project / "sweeps").mkdir()
    shutil.copy("heads.py", "sweeps/heads.py")
    Path("sweeps/own.toml").write_text(
        'preset = "fast"\nseeds = 1\n[set]\nn_epochs = 2\nepoch_frames = 600\n[axes]\n'
        'kind = ["heads.py:Conv(n_blocks=1)", "whole.py:Whole", "linear"]\n[baseline]\nkind = "whole.py:Whole"\n'
    )
    words = (
        "sweep",
        "sweeps/own.toml",
        "features/set",
        "--data",
        "data",
        "--out",
        "sw",
        "--device",
        "cpu",
        "--jobs",
        1,
    )
    done = ballspot(*words)
    assert done.exit_code == 0, done.output
    kinds = [(path.parent.parent.name, path.read_text()) for path in sorted(Path("sw").glob("*/*/config.toml"))]
    assert f'kind = "{project}/sweeps/heads.py:Conv(n_blocks=1)@' in kinds[0][1]  # beside the sweep's file
    assert [name for name, _ in kinds] == ["kind=heads.py-Conv-n_blocks=1-", "kind=linear", "kind=whole.py-Whole"]
    table = ballspot("compare", "sw", "--split", "valid", "--format", "csv")
    assert table.exit_code == 0 and "heads.py:Conv(n_blocks=1)@" in table.output, table.output
    Path("whole.py").write_text(WHOLE + "# changed\n")
    refused = ballspot(*words)
    assert refused.exit_code == 1 and "whole.py has changed since" in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--head", "heads.py:Konv"), "head.kind = 'heads.py:Konv': "),
        (("--head", "gone.py:Conv"), "gone.py: no such file"),
        (("--head", "unett"), "Input should be 'tcn', "),
        (("--head", "heads.py:Conv(n=1)"), "has no parameter 'n'; it takes dim, width, n_blocks"),
        (("--set", "class_loss=losses.py:Smooth"), "did you mean smooth?"),
        (("--set", "class_loss=losses.py:cauchy"), "asks for 'offsets'"),
        (("--set", "offset_loss=bad.py:mean"), "gives (), not a loss of (2, 5)"),
        (("--set", "class_loss=bad.py:fixed"), "its loss does not hang on what the head says"),
        (("--set", "class_loss=bad.py:fails"), "line 10: fails given (2, 5, 13): ZeroDivisionError"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_written(project, words, said):
    Path("bad.py").write_text(
        "def mean(offsets, targets):\n    return (offsets - targets).abs().mean()\n\n\n"
        "def fixed(logits):\n    return logits.detach()[..., 0]\n\n\n"
        "def fails(logits):\n    return logits / (1 // 0)\n"
    )
    refused = trained("run", *words)
    assert refused.exit_code == 1 and said in refused.stderr, refused.output
    assert len(refused.stderr.splitlines()) == 1 and not Path("run").exists()


def test_a_whole_head_says_what_it_has_and_takes_no_other_classes(project, tmp_path):
    done = trained("run", "--head", "whole:Whole")
    assert done.exit_code == 0, done.output
    head = read_checkpoint(Path("run") / "best.safetensors").load("cpu")
    output = head(torch.randn(2, 50, 16))
    assert output.class_logits.shape[:2] == (2, 25) == output.offsets.shape and output.team_logits is None
    Path("own.toml").write_text('labels = ["PASS", "DRIVE", "SHOT"]\n')
    refused = trained("other", "--head", "whole:Whole", "--init", "run", "--labels", "own.toml")
    assert refused.exit_code == 1 and "classes cannot go by their names" in refused.stderr
    begun = ballspot("train", "features/set", "--data", "data", "--run", "again", "--init", "run", "--device", "cpu")
    assert begun.exit_code == 0 and "begins with run/best.safetensors" in begun.stderr, begun.output


def test_several_sets_lie_side_by_side_under_an_own_head(project):
    section = load_config("fast", ["kind=whole.py:Whole", "fused_width=6", "teams=labels"]).head
    head = build_head(section, dims=(12, 7), n_labels=5, clip_frames=20)
    assert head(torch.randn(2, 20, 19)).class_logits.shape == (2, 10, 11)


def test_a_loss_that_judges_every_class_is_read_by_sigmoids(project):
    Path("every.py").write_text(
        "from torch.nn.functional import binary_cross_entropy_with_logits as bce\n\n\n"
        "def every(logits, labels):\n    return bce(logits[..., 1:], labels, reduction='none').sum(-1)\n"
    )
    done = trained("run", "--set", "class_loss=every.py:every")
    assert done.exit_code == 0, done.output
    config = read_checkpoint(Path("run") / "best.safetensors").description.config
    assert config.loss.class_loss.endswith("#sigmoid")
    assert config_from_table(json.loads(json.dumps(as_table(config))), source="here") == config
    Path("every.py").unlink()
    assert predicted("run", "p").exit_code == 0


def test_an_own_loss_that_says_what_ours_says_has_its_mean_with_shares(project):
    """The mean of plain cross-entropy, weights 1, is ours of weight 1: equal shares of equal clips."""
    from ballspot.temporal.clips import TokenTargets
    from ballspot.temporal.heads import HeadOutput

    Path("plain.py").write_text(
        "from torch.nn.functional import cross_entropy\n\n\n"
        "def plain(logits, class_index):\n"
        "    return cross_entropy(logits.transpose(1, 2), class_index, reduction='none')\n"
    )
    common = ["class_weights=none", "focal_gamma=0"]
    ours = load_config("fast", common)
    own = load_config("fast", [*common, "class_loss=plain.py:plain"])
    output = HeadOutput(torch.randn(3, 7, 5), None, None)
    none = torch.full((6, 7), torch.nan)
    wanted = TokenTargets(torch.randint(0, 5, (6, 7)), torch.ones(6, 7), None, none, none, torch.zeros(6))
    share = torch.tensor([0.7, 0.9, 0.5, 0.3, 0.1, 0.5])
    weights = torch.ones(5)
    means = [loss_means(output, wanted, share, weights, config)[0] for config in (ours, own)]
    assert torch.allclose(means[0], means[1])
    # Over parts of a batch, means times totals add up to the whole's.
    whole = means[1] * loss_totals(wanted, share, weights, own)[0]
    assert torch.allclose(whole, means[1] * share.sum())


def test_the_configuration_of_a_run_names_no_code_by_itself(project, tmp_path, monkeypatch):
    """Taken as a preset it is somebody's record still: its code waits as that of its checkpoints does."""
    Path("runs/a").mkdir(parents=True)
    Path("runs/a/run.json").write_text("{}")
    gadget = "timeit:timeit(stmt='import pathlib; pathlib.Path(\\\"ran\\\").touch()')"
    for section, key in (("head", "kind"), ("loss", "class_loss"), ("loss", "offset_loss")):
        Path("runs/a/config.toml").write_text(f'[{section}]\n{key} = "{gadget}"\n')
        refused = ballspot("train", "features/set", "--data", "data", "--run", "b", "--preset", "runs/a/config.toml")
        assert refused.exit_code == 1 and "lacks the digest of its file" in refused.stderr, refused.output
        with pytest.raises(BallspotError, match="lacks the digest of its file"):  # as --init and learn take it
            changed_config({section: {key: gadget}}, [], source="runs/a (--init)")
    named = as_table(load_config("fast", ["kind=heads.py:Conv"]))["head"]["kind"]
    Path("runs/a/config.toml").write_text(f'[head]\nkind = "{named}"\n')
    assert load_config("runs/a/config.toml").head.kind == named
    forget(monkeypatch, tmp_path)
    refused = ballspot("train", "features/set", "--data", "data", "--run", "b", "--preset", "runs/a/config.toml")
    assert refused.exit_code == 1 and "was never named here; give --trust-code" in refused.stderr, refused.output
    assert not Path("ran").exists() and not Path("b").exists()
