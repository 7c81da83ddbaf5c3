"""A backbone of a user's own function: extracted, recorded, used on videos, and refused where it is not one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ballspot.cache.code import pin_code
from ballspot.cache.errors import BallspotError
from ballspot.cache.stores import FeatureStore
from ballspot.extract.backbone import BackboneSpec, load_backbone
from ballspot.extract.own import make_own

from ...commands import ballspot

EXAMPLE = Path(__file__).parents[3] / "examples" / "backbones.py"
FIRST = "import torch\nfrom torch import nn\n\n\n"


@pytest.fixture
def project(drawn, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(f"{EXAMPLE.read_text()}# {tmp_path}\n")
    return tmp_path


def extract(drawn: Path, *more: object, weights: tuple[str, ...] = ()):
    words = ("extract", drawn, "--out", "features", "--size", "32x48", "--device", "cpu", "--workers", 1)
    return ballspot(*words, "--backbone", "mine.py:tiny(width=8)", "--match", "match-01", *weights, *more)


def pinned(text: str) -> str:
    return pin_code(text, where="--backbone", kind="function")


def test_features_are_those_of_the_function_and_say_so(project, drawn):
    done = extract(drawn)
    assert done.exit_code == 0, done.output
    (file,) = Path("features").rglob("*.h5")
    text = pinned("mine.py:tiny(width=8)")
    digest = text.partition("@")[2]
    with FeatureStore.open(file) as store:
        assert store.spec.backbone == f"mine.py:tiny(width=8)@{digest}" and store.dim == 8
        assert (store.spec.mean, store.spec.std) == ((0.5,) * 3, (0.25,) * 3)
        assert store.header.weights == "own"
        rows = store.read()
    (folder,) = Path("features").iterdir()
    assert folder.name == f"mine-tiny-{digest[:8]}-own-32x48"
    assert (folder / "code" / f"mine-{digest[:8]}.py").read_text() == Path("mine.py").read_text()
    told = ballspot("cache", "verify", folder, "--deep", "--chunks", 1, "--data", drawn)
    assert told.exit_code == 0, told.output
    Path("mine.py").write_text(Path("mine.py").read_text() + "# changed\n")
    told = ballspot("cache", "verify", folder, "--deep", "--data", drawn)
    assert told.exit_code == 1 and "mine.py has changed since" in told.output
    assert extract(drawn, "--set", folder.name).exit_code == 1  # another file is another set
    assert np.isfinite(rows).all() and rows.std() > 0


def test_a_seed_draws_its_weights_and_a_file_brings_them(project):
    text = pinned("mine.py:tiny")
    torch.manual_seed(3)
    before = torch.rand(1)
    torch.manual_seed(3)
    seeds = [load_backbone(BackboneSpec(text, f"random:{seed}", (32, 48)), torch.device("cpu")) for seed in (7, 7, 8)]
    assert torch.equal(before, torch.rand(1))  # whoever draws beside it draws on
    assert seeds[0].weights_sha256 == seeds[1].weights_sha256 != seeds[2].weights_sha256
    save_file(make_own(text, size=(32, 48), seed=7).model.state_dict(), "w.safetensors")
    loaded = load_backbone(BackboneSpec(text, "w.safetensors", (32, 48)), torch.device("cpu"))
    assert loaded.weights_sha256 == seeds[0].weights_sha256 and loaded.dim == 48
    for weights, said in (("offline", "there are none for mine.py:tiny"), ("hub", "")):
        if said:
            with pytest.raises(BallspotError, match=said):
                load_backbone(BackboneSpec(text, weights, (32, 48)), torch.device("cpu"))
    with pytest.raises(BallspotError, match="for a function of your own"):
        load_backbone(BackboneSpec("regnety_002", "own", (32, 48)), torch.device("cpu"))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def f():\n    return 3\n", "gives int, no torch.nn.Module"),
        ("def f(depth):\n    return nn.Identity()\n", "asks for 'depth'"),
        ("def f():\n    return nn.Conv2d(3, 4, 3)\n", "for pictures (2, 3, 32, 48), not one row (2, D) each"),
        ("def f(size):\n    return nn.Linear(size[0], 3)\n", "line 6"),
        ("def f():\n    m = nn.Flatten()\n    m.mean = 3\n    return m\n", "its mean is 3; give three numbers"),
        ("def f():\n    m = nn.Flatten()\n    m.std = (0, 1, 1)\n    return m\n", "numbers above 0"),
        (
            "def f():\n    m = nn.Flatten()\n    m.interpolation = 'area'\n    return m\n",
            "let it be bilinear or bicubic",
        ),
        (
            "class M(nn.Module):\n    def forward(self, x):\n        return (x - x.mean(0)).flatten(1)\n\n\n"
            "def f():\n    return M()\n",
            "hang on the pictures beside it",
        ),
        (
            "class M(nn.Module):\n    def forward(self, x):\n        return torch.rand(len(x), 4)\n\n\n"
            "def f():\n    return M()\n",
            "other features the second time",
        ),
        (
            "class M(nn.Flatten):\n    def get_extra_state(self):\n        return {}\n\n\ndef f():\n    return M()\n",
            "keeps dict '_extra_state' in its state; keep tensors alone",
        ),
        ("def f():\n    m = nn.Flatten()\n    m.mean = (1, 2)\n    return m\n", "its mean is (1.0, 2.0); give three"),
        (
            "class M(nn.Module):\n    def forward(self, x):\n        return x.flatten(1).log()\n\n\n"
            "def f():\n    return M()\n",
            "gives features that are not finite",
        ),
        ("def f():\n    return 1 / 0\n", "line 6: f when it was made: ZeroDivisionError: division by zero"),
        ("def f():\n    import nowhere\n", "No module named 'nowhere'"),
    ],
)
def test_what_is_no_backbone_is_refused_in_one_line(project, source, said):
    Path("bad.py").write_text(FIRST + source)
    with pytest.raises(BallspotError) as error:
        make_own(pinned("bad.py:f"), size=(32, 48))
    assert said in str(error.value) or (said == "line 6" and "given pictures (2, 3, 32, 48)" in str(error.value))


def test_want_of_memory_is_not_blamed_on_a_backbone(project):
    source = "class M(nn.Module):\n    def forward(self, x):\n        raise MemoryError\n\n\ndef f():\n    return M()\n"
    Path("large.py").write_text(FIRST + source)
    with pytest.raises(MemoryError):
        make_own(pinned("large.py:f"), size=(32, 48))


def test_a_class_is_no_backbone_and_a_module_needs_a_name(project, drawn):
    words = ("extract", drawn, "--out", "features", "--device", "cpu", "--backbone")
    assert "Tiny is not a function" in ballspot(*words, "mine.py:Tiny").stderr
    assert "no such file" in ballspot(*words, "nowhere.py:tiny").stderr
    assert not Path("features").exists()


def test_a_run_on_its_features_finds_spots_in_a_video_and_in_components(project, drawn, video):
    words = ("extract", drawn, "--out", "features", "--size", "32x48", "--device", "cpu", "--workers", 1)
    done = ballspot(*words, "--backbone", "mine.py:tiny(width=8)", "--set", "own")
    assert done.exit_code == 0, done.output
    assert ballspot("cache", "pca", "features/own", "--dim", 3, "--data", drawn, "--set", "few").exit_code == 0
    small = (
        "--preset",
        "fast",
        "--device",
        "cpu",
        "--set",
        "n_epochs=2",
        "--set",
        "epoch_frames=300",
        "--head",
        "linear",
    )
    done = ballspot("train", "features/few", "--data", drawn, "--run", "run", *small)
    assert done.exit_code == 0, done.output
    assert ballspot("predict", "run", video, "--out", "p1", "--device", "cpu").exit_code == 0
    assert ballspot("export", "run", "--format", "bundle", "--with-backbone", "--out", "b.ballspot").exit_code == 0
    shutil.rmtree("features")
    Path("mine.py").unlink()
    done = ballspot("predict", "b.ballspot", video, "--out", "p2", "--device", "cpu", "--trust-code")
    assert done.exit_code == 0, done.output
    one, other = (next(Path(out).rglob("results_spotting.json")) for out in ("p1", "p2"))
    assert json.loads(one.read_text()) == json.loads(other.read_text())
