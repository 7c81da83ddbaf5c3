"""What the fuzzers read that holds tensors: checkpoints, bundles, components, features, scores, foreign weights."""

import functools
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from fuzz_damage import Target, in_turn, json_values
from fuzz_packings import npy_values, npz_values, safetensors_values, store_values, zip_bytes
from fuzz_runs import run_files
from fuzz_spots import spots_samples
from fuzz_stores import store_targets
from safetensors.torch import save

from ballspot.cache.disk.fingerprint import fingerprint
from ballspot.cache.stores.spec import EngineSpec, FeatureSpec
from ballspot.cache.terminal.options import parse_fps
from ballspot.evaluate.dataset.labelsets import BALL_12, LabelSet
from ballspot.evaluate.dataset.matches import Match
from ballspot.extract.backbone import foreign
from ballspot.extract.backbone.temporal_shift import parse_backbone
from ballspot.extract.backbone.transforms import parse_views
from ballspot.extract.backbone.weights import parse_weights
from ballspot.extract.data_root.check import lint_labels
from ballspot.extract.rows.pca import Components, load_components, save_components
from ballspot.extract.rows.recipe import BundledFeatures
from ballspot.temporal.bundle.bundle import Bundle, bundle_of, load_bundle, save_bundle
from ballspot.temporal.bundle.trained import read_trained
from ballspot.temporal.config.sections import ClipSection, Config, HeadSection
from ballspot.temporal.decoding.postprocessing import (
    ClassDecoding,
    decoded_spots,
    read_postprocessing,
    write_postprocessing,
)
from ballspot.temporal.decoding.scores import SavedScores, open_scores, read_scores, write_scores
from ballspot.temporal.features.resident import load_features, scale_features
from ballspot.temporal.features.scaling import Scaling
from ballspot.temporal.features.sources import open_source
from ballspot.temporal.finetune.settings import read_settings
from ballspot.temporal.heads.checkpoints import Checkpoint, HeadDescription, Progress, read_checkpoint, write_checkpoint
from ballspot.temporal.prediction.write import claim_folder

LABELS = LabelSet("two", ("PASS", "GOAL"))
EXTRACTION = {
    "backbone": "regnety_002", "weights_sha256": "0" * 64, "size": [64, 96], "mean": [0.5, 0.5, 0.5],
    "std": [0.2, 0.2, 0.2], "interpolation": "bicubic-antialias", "stride": 1, "dtype": "float16",
    "layers": ["pooled"], "grid": [1, 1],
}  # fmt: skip
torch.set_num_threads(1)  # a pool of threads does not live through a fork
OPTIONS = (
    b"regnety_002+gsf:s3,s4", b"hflip,photo:12", b"random:17", b"30000/1001", b"29.97", b"1e2",
    b"freeze=stem,s1\ncopies=2",
)  # fmt: skip
HOW = {label: ClassDecoding("soft", 0.5, 0.1, 0.01) for label in LABELS.labels}


def head_targets(folder: Path) -> dict[str, Target]:
    """Checkpoints alone and in their run, and bundles."""
    config = Config(head=HeadSection(kind="tcn", width=4), clips=ClipSection(scaling="train"))
    description = HeadDescription(config, LABELS, (6,), fingerprint(EXTRACTION))
    head, scaling = description.build(), Scaling(torch.zeros(6), torch.ones(6))
    run = folder / "run"
    for name, content in run_files().items():
        run.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(content)
    write_checkpoint(
        run / "best.safetensors", description=description, head=head, progress=Progress(3, 2), scaling=scaling
    )
    checkpoint = (run / "best.safetensors").read_bytes()
    features = BundledFeatures(
        "set", fingerprint(EXTRACTION), FeatureSpec.read(EXTRACTION), EngineSpec(""), "hub", "regnety_002", None, None
    )
    one = Checkpoint(description, Progress(3, 2), head.state_dict(), scaling, {}, {})
    splits = {"train": ("a/b",), "valid": ("a/c",), "test": ()}
    save_bundle(
        Bundle((one,), LABELS, (features,), HOW, "best", ("key",), (0,), splits, (None,)), folder / "b.ballspot"
    )

    def sealed(said: dict) -> dict:
        rest = {key: value for key, value in said.items() if key != "header_sha256"}
        return {**rest, "header_sha256": fingerprint(rest)}

    def read_run(path: Path) -> None:
        in_turn(lambda: read_trained(path.parent), lambda: bundle_of([path.parent]))

    return {
        "checkpoint": Target((checkpoint,), folder / "c.safetensors", _read_checkpoint, safetensors_values("ballspot")),
        "run.json, with its head": Target((run_files()["run.json"],), run / "run.json", read_run, json_values),
        "bundle": Target(
            ((folder / "b.ballspot").read_bytes(),), folder / "damaged.ballspot", load_bundle,
            safetensors_values("ballspot", sealed),
        ),
    }  # fmt: skip


def _read_checkpoint(path: Path) -> None:
    found = read_checkpoint(path)
    if sum(value.numel() for value in found.head.values()) < 10**6:
        found.load("cpu")


def feature_targets(folder: Path) -> dict[str, Target]:
    """Features from stores, scores and post-processing, components, and weights of other systems."""
    stores = store_targets(folder / "made")["store"].samples
    save_components(
        Components(np.zeros(6, np.float32), np.eye(2, 6, dtype=np.float32), np.ones(2, np.float32), ("m",)),
        folder / "fit",
    )
    write_scores(
        folder / "s.npz", SavedScores(np.ones((9, 2), np.float32), np.arange(9), LABELS.labels, Fraction(25), 9, "m")
    )
    scores = (folder / "s.npz").read_bytes()
    write_postprocessing(folder / "p.json", HOW, made_from={"run": "r"})
    plain = BytesIO()
    np.save(plain, np.ones((9, 3), np.float32))
    record = {"run_keys": ["k"], "matches": ["m"], "label_set": "two"}
    claim_folder(folder / "claimed", record)
    claimed = next((folder / "claimed").iterdir())
    foreign._wanted = functools.cache(foreign._wanted)  # building a backbone takes most of the time

    def check(path: Path) -> None:
        for one in lint_labels(Match("m", path.parent, None, path), BALL_12, None):
            one.line().encode()

    def options(path: Path) -> None:
        text = path.read_bytes().decode("utf-8", "replace")
        parsers = (parse_backbone, parse_views, parse_weights, parse_fps)
        in_turn(*(lambda one=one: one(text) for one in parsers), lambda: read_settings("finetune", text.splitlines()))

    def read_plain(path: Path) -> object:
        return open_scores(path.parent.parent, "m", LABELS, rows_a_second=Fraction(25))

    return {
        "features": Target(stores, folder / "set" / "m.h5", _load, store_values),
        "scores": Target(
            (scores,), folder / "scores.npz", lambda path: decoded_spots(read_scores(path), HOW), npz_values
        ),
        "scores, given": Target((scores,), folder / "given" / "m" / "scores.npz", read_plain, npz_values),
        "scores, plain": Target((plain.getvalue(),), folder / "plain" / "m" / "scores.npy", read_plain, npy_values),
        "post-processing": Target(
            ((folder / "p.json").read_bytes(),), folder / "tuned.json", read_postprocessing, json_values
        ),
        "predictions' record": Target(
            (claimed.read_bytes(),), claimed, lambda path: claim_folder(path.parent, record), json_values
        ),
        "data check": Target((spots_samples()["labels-ball"],), folder / "Labels-ball.json", check, json_values),
        "options": Target(OPTIONS, folder / "options.txt", options),
        "components": Target(
            ((folder / "fit").read_bytes(),),
            folder / "fit.safetensors",
            load_components,
            safetensors_values("fitted_on"),
        ),
        "weights, safetensors": Target(_safetensors(), folder / "w.safetensors", foreign.settle, safetensors_values()),
        "weights, pickled": Target(_pickled(), folder / "w.pth", foreign.settle, zip_bytes),
    }


def _load(path: Path) -> None:
    found = load_features(open_source(path.parent), ["m"], device="cpu")
    if found.n_rows:
        scale_features(found, "match-common")


def _safetensors() -> tuple[bytes, ...]:
    own = {"format": foreign.OWN_FORMAT, "backbone": "regnety_002", "size": "64x96", "stride": "2", "views": "original"}
    last = {f"{foreign.PREFIX}s4.b1.conv3.conv.weight": torch.zeros(368, 368, 1, 1, dtype=torch.float16)}
    return save({"a": torch.zeros(3)}, own), save({"_features.x": torch.zeros(3)}), save(last)


def _pickled() -> tuple[bytes, ...]:
    found = []
    for state in (
        {"a": torch.zeros(3), "b.c": torch.ones(2, 2)},
        {"state_dict": {"module._features.x": torch.zeros(1)}},
    ):
        for is_zip in (True, False):
            stream = BytesIO()
            torch.save(state, stream, _use_new_zipfile_serialization=is_zip)
            found.append(stream.getvalue())
    return tuple(found)
