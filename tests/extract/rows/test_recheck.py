"""What a deep check of a store says where it cannot repeat the extraction, or where the video is another one."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from ballspot.cache.errors import BallspotError
from ballspot.cache.stores import Block, ComponentsSpec, FeatureStore, StoreHeader, write_store
from ballspot.cli import main
from ballspot.extract.backbone.spec import BackboneSpec
from ballspot.extract.rows.job import Recipe, Settings
from ballspot.extract.rows.pca import FIT_FILE, Components, save_components
from ballspot.extract.rows.recheck import components_of, recipe_of

MATCH = "synth/drawn/match-01"


@pytest.fixture(scope="module")
def header(brief: Path) -> StoreHeader:
    """That of a store of the first match, as an extraction writes it."""
    job = Recipe(BackboneSpec("resnet10t", "random", (32, 48)), settings=Settings()).job()
    video = brief / MATCH / "64p.mp4"
    return StoreHeader(
        MATCH,
        Fraction(25),
        100,
        100,
        job.dim,
        job.spec,
        video_name=video.name,
        video_bytes=video.stat().st_size,
        engine=f"torch {torch.__version__} cpu float32 batch 8",
        weights="random",
    )


def written(folder: Path, header: StoreHeader) -> Path:
    """A store of that header, its rows all 1."""
    path = folder / f"{header.match}.h5"
    rows = {"original": np.ones((header.n_rows, header.dim), header.row_dtype)}
    write_store(path, header=header, blocks=[Block(np.arange(header.n_rows), rows)])
    return path


def spec(**changes: object) -> Callable[[StoreHeader], StoreHeader]:
    return lambda header: replace(header, spec=header.spec.model_copy(update=changes))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            spec(decoder="nvdec"),
            "decoded by a GPU (--decoder nvdec), which is not repeated here to the last bit; verify",
        ),
        (spec(interpolation="lanczos"), "does not say how it was made (setting interpolation: "),
        (lambda header: replace(header, weights=""), "does not say where its weights came from; give --weights"),
        (lambda header: replace(header, picture_fps="25/0"), "picture_fps '25/0' is not a rate; extract again"),
        (lambda header: replace(header, match="other"), "has no video of match 'other'"),
        (
            lambda header: replace(header, n_video_frames=101, n_rows=101),
            "says 101 frames at 25 a second, 64p.mp4 has 100 at 25",
        ),
        (
            lambda header: replace(header, video_turn="turned by 90 degrees"),
            "was made of pictures turned by 90 degrees; players show those of 64p.mp4 as they are stored",
        ),
    ],
)
def test_what_cannot_be_repeated_is_told_with_the_reason(
    change: Callable[[StoreHeader], StoreHeader], said: str, header: StoreHeader, brief: Path, tmp_path: Path
) -> None:
    path = written(tmp_path, change(header))
    done = CliRunner().invoke(main, ["cache", "verify", str(path), "--deep", "--data", str(brief), "--chunks", "1"])
    assert done.exit_code == 1
    (line,) = [line for line in done.stdout.splitlines() if path.name in line]
    assert said in line, line


def test_weights_that_were_moved_with_their_store_are_found(header: StoreHeader, tmp_path: Path) -> None:
    weights = tmp_path / "moved" / "weights" / "mine.pt"
    weights.parent.mkdir(parents=True)
    weights.touch()
    said = tmp_path / "before" / "weights" / "mine.pt"
    with FeatureStore.open(written(tmp_path / "moved" / "set", replace(header, weights=str(said)))) as store:
        assert recipe_of(store, None).backbone.weights == str(weights)
        weights.unlink()
        assert recipe_of(store, None).backbone.weights == str(said)  # so that the error names what is missing
        assert recipe_of(store, "random:3").backbone.weights == "random:3"


def test_components_of_another_fit_than_the_stores_are_refused(header: StoreHeader, tmp_path: Path) -> None:
    drawn = np.random.default_rng(0).standard_normal((2, header.dim)).astype(np.float32)
    components = Components(np.zeros(header.dim, np.float32), drawn, np.full(2, 0.5, np.float32))
    save_components(components, tmp_path / FIT_FILE)
    said = ComponentsSpec(dim=2, parent=header.fingerprint, sha256=components.digest)
    with FeatureStore.open(written(tmp_path, replace(header, dim=2, spec=header.spec.projected(said)))) as store:
        found = components_of(store)
        assert found is not None and found.digest == components.digest
        save_components(replace(components, mean=components.mean + 1), tmp_path / FIT_FILE)
        with pytest.raises(
            BallspotError, match=rf"{FIT_FILE}: not the fit that match-01.h5 was made with; make the set"
        ):
            components_of(store)
