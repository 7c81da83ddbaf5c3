"""The command `tune`."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...cache.disk import path_hint
from ...cache.errors import BallspotError
from ...cache.runs import data_of_run, seed_folders
from ...cache.terminal import FOLDER, FiniteRange, command, data_option, json_option, note, print_table, splits_option

if TYPE_CHECKING:
    from ...cache.runs import RunFolder
    from ...evaluate.dataset import DataSelection, LabelSet
    from ..decoding import ClassDecoding, TunedClass

OFFICIAL_RATE = 25.0  # rows a second that the windows of preset `best` are counted in


@command(short_help="Find the best post-processing of every class on saved scores.")
@click.argument("scores", metavar="RUN", type=FOLDER)
@data_option(
    "Data root: the match folders with their labels.  [default: the one that RUN was trained on]", required=False
)
@click.option("--split", default="valid", show_default=True, type=click.Choice(("train", "valid", "test", "all")),
              help="The matches to tune on; do not report a result for these matches.")  # fmt: skip
@splits_option("the run's")
@click.option("--labels", help="Label set of other systems' scores.  [default: the run's, or ball-12]")
@click.option("--rows-per-second", type=FiniteRange(0.001, 1000),
              help="Rows per second of plain arrays, which do not say it themselves.")  # fmt: skip
@click.option("--min-count", type=click.IntRange(min=1), default=10, show_default=True,
              help="Classes with fewer truths share one setting.")  # fmt: skip
@click.option("--out", type=FOLDER, help="File for the settings found.  [default: RUN/tuned.json]")
@click.option(
    "--apply",
    "applied",
    metavar="SCORES",
    type=FOLDER,
    help="Folder of other scores to decode with the settings found.",
)
@click.option("--to", "destination", metavar="FOLDER", type=FOLDER, help="Folder for the spots of --apply.")
@json_option
def tune(
    scores: Path,
    data_root: Path | None,
    split: str,
    splits_file: Path | None,
    labels: str | None,
    rows_per_second: float | None,
    min_count: int,
    out: Path | None,
    applied: Path | None,
    destination: Path | None,
    as_json: bool,
) -> None:
    """Find the best post-processing of every class on saved scores.

    RUN is a run that predicted the split (training predicts the validation matches), the folder of several seeds
    whose scores `predict --split valid` averaged, or a folder of another system's scores (FOLDER/MATCH/scores.npz or
    scores.npy; docs/guides/tuning.md has the shapes). Nothing is trained. The settings go to a file that `ballspot
    predict --tuned` takes. --apply uses them on saved scores at once.

    \b
    ballspot tune runs/tcn --data DATA
    """
    from ...evaluate.dataset import read_labels, refuse_sweep, write_threshold
    from ..decoding import decoded_spots, open_scores, rows_a_second, tune_classes, write_postprocessing
    from ..prediction import chosen_threshold

    if (applied is None) != (destination is None):
        raise click.UsageError("--apply and --to belong together: scores to decode, and where their spots go")
    refuse_sweep(scores)
    data_root = data_root or _data_of(scores)
    folder, data, names = _scores_of(scores, data_root, split, splits_file=splits_file, labels=labels)
    matches, label_set = data.matches, data.label_set
    rate = None if rows_per_second is None else Fraction(rows_per_second).limit_denominator(1001)
    truths = []
    for name in names:
        path = matches[name].labels_path if name in matches else None
        if path is None:
            raise BallspotError(f"{data_root}: no labels of match {name!r}; tuning compares scores with labels")
        truths.append(read_labels(path, label_set, in_file_order=True))
    saved = [open_scores(folder, name, label_set, rows_a_second=rate) for name in names]
    before = _before(scores, label_set, rate=rows_a_second(saved[0]))
    tuned = tune_classes(saved, truths, label_set, before=before, min_count=min_count)
    how = {label: one.decoding for label, one in tuned.items()}
    out = out or scores / "tuned.json"
    threshold = chosen_threshold([decoded_spots(one, how) for one in saved], truths, label_set)
    made_from = {"scores": str(folder), "split": split, "matches": list(names)}
    write_postprocessing(out, how, made_from=made_from, threshold=threshold)
    note(f"{out}: written; AP after tuning is measured on the matches that were tuned on, so it is too high")
    _print(tuned, min_count=min_count, as_json=as_json)
    if applied is not None and destination is not None:
        _apply(applied, destination, label_set, how, rows_a_second=rate)
        write_threshold(destination, threshold)


def _run_of(path: Path) -> "RunFolder | None":
    """The run at ``path``, the first of several seeds that share a folder, or None for scores of another system."""
    from ...cache.runs import RunFolder

    first = seed_folders(path)[0]
    return RunFolder(first) if (first / "run.json").is_file() else None


def _data_of(scores: Path) -> Path:
    """The data root that the run was trained on. Raises BallspotError for scores of another system, which say none."""
    run = _run_of(scores)
    if run is None:
        raise BallspotError(f"{scores}: is not a run that says its data root{path_hint(scores)}; give --data")
    return data_of_run(run.path, run.record())


def _scores_of(
    scores: Path, data_root: Path, split: str, *, splits_file: Path | None, labels: str | None
) -> tuple[Path, "DataSelection", tuple[str, ...]]:
    """Where the scores lie, the data with labels of their classes, and the matches of the split."""
    from ...evaluate.dataset import (
        DataSelection,
        halves_by_match,
        label_set_of,
        load_label_set,
        recorded_splits,
        recordings_of,
    )

    run = _run_of(scores)
    if run is not None:
        record = run.record()
        label_set = load_label_set(labels) if labels else label_set_of(record, str(run.path / "run.json"))
        folder = scores / "predictions" / split
        if not folder.is_dir():
            raise BallspotError(
                f"{folder}: no scores; run `ballspot predict {scores} FEATURES --data DATA --split {split}` first"
            )
        if splits_file is None:
            names = recorded_splits(record, str(run.path / "run.json")).part(split)
            data = DataSelection(data_root, label_set, one_video=True, stored=_recordings(folder))
            return folder, data, recordings_of(names, halves_by_match(data.matches.values()))
    else:
        if not scores.is_dir():
            raise BallspotError(f"{scores}: no such run{path_hint(scores)}; give a run, or a folder of scores")
        label_set, folder = load_label_set(labels or "ball-12"), scores
    data = DataSelection(data_root, label_set, splits_file, one_video=True, stored=_recordings(folder))
    return folder, data, data.splits.part(split)


def _recordings(folder: Path) -> frozenset[str]:
    """The recordings that a folder of predictions has scores of."""
    return frozenset(path.parent.relative_to(folder).as_posix() for path in folder.rglob("scores.npz"))


def _before(scores: Path, label_set: "LabelSet", rate: float) -> dict[str, "ClassDecoding"]:
    """The run's own post-processing; for scores of other systems that of the preset `best`."""
    from ..config import config_from_table, load_config
    from ..decoding import as_configured

    run = _run_of(scores)
    if run is not None:
        table = {name: values for name, values in run.config().items() if name != "finetune"}  # of its backbone
        section = config_from_table(table, source=str(run.path / "config.toml")).prediction
        return as_configured(section, label_set.labels, rate=rate)
    section = load_config("best").prediction
    return as_configured(section, label_set.labels, rate=OFFICIAL_RATE)


def _print(tuned: Mapping[str, "TunedClass"], *, min_count: int, as_json: bool) -> None:
    after = [one.ap_after for one in tuned.values()]
    before = [one.ap_before for one in tuned.values()]
    means = {"mean_ap_before": sum(before) / len(before), "mean_ap_after": sum(after) / len(after)}
    if as_json:
        click.echo(json.dumps({**means, "min_count": min_count, "per_class": {k: asdict(v) for k, v in tuned.items()}}))
        return
    rows = [
        (
            label,
            str(one.n_truth),
            f"{100 * one.ap_before:.1f}",
            f"{100 * one.ap_after:.1f}",
            one.decoding.suppression,
            f"{one.decoding.window_s:g}",
            f"{one.decoding.smoothing_s:g}",
            "own" if one.chose_alone else "shared",
        )
        for label, one in tuned.items()
    ]
    total = (f"{100 * means['mean_ap_before']:.2f}", f"{100 * means['mean_ap_after']:.2f}")
    rows.append(("mAP@1", "", *total, "", "", "", ""))
    print_table(
        ("class", "truths", "AP before", "AP after", "suppression", "window, s", "smoothing, s", "choice"), rows
    )


def _apply(
    applied: Path,
    destination: Path,
    label_set: "LabelSet",
    how: Mapping[str, "ClassDecoding"],
    *,
    rows_a_second: Fraction | None,
) -> None:
    """Decodes every match of a folder of scores and writes its spots."""
    from ...evaluate.dataset import SCORES_FILE, SPOTS_FILE, write_spots
    from ..decoding import PLAIN_FILE, as_plain, decoded_spots, open_scores
    from ..prediction import claim_folder

    files = [*applied.rglob(SCORES_FILE), *applied.rglob(PLAIN_FILE)]
    names = sorted({file.parent.relative_to(applied).as_posix() for file in files})
    if not names:
        raise BallspotError(f"{applied}: no {SCORES_FILE} or {PLAIN_FILE} below it; give a folder of scores")
    claim_folder(destination, {"scores": str(applied), "matches": names, "suppression": as_plain(how)})
    for name in names:
        spots = decoded_spots(open_scores(applied, name, label_set, rows_a_second=rows_a_second), how)
        write_spots(destination / name / SPOTS_FILE, name, spots)
        note(f"{destination / name / SPOTS_FILE}: {len(spots)} spots")
