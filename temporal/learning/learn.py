"""One turn of the loop: old predictions, a warm start on what was corrected, new predictions, what changed."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from ...cache.disk import make_folder, write_json
from ...cache.errors import BallspotError
from ...cache.runs import RunFolder
from ...cache.terminal import note
from ...evaluate.dataset import (
    SPOTS_FILE,
    DataSelection,
    LabelSet,
    Splits,
    Spot,
    halves_by_match,
    label_set_of,
    read_spots,
    read_threshold,
    recorded_splits,
    write_threshold,
)
from ...evaluate.results import evaluate_predictions
from ...evaluate.uncertainty import Bootstrap
from ..bundle import sets_of_run
from ..clips import Stretch
from ..config import as_table, changed_config
from ..features import FeatureSource, open_source
from ..heads import WarmStart, read_checkpoint
from ..prediction import Ensemble, claim_folder, copy_predicted, predict_matches, prediction_record, write_wholes
from ..training import BEST, DECIDED, SPLIT, Experiment, train_seeds
from .corrected import Correction, corrected_data, decided_of, find_corrections, labels_of

RECORD = "learned.json"
BEFORE, BEFORE_VALID = "before", "before-valid"  # predictions of the old head, in the new run's folder
NEAR_MS = 500
MOST_FRAMES = 50_000  # a third of a whole match: more would take longer than the predictions beside it
SHOWN = 0.5  # the score from which spots are counted as found, of a run that has no threshold


@dataclass(frozen=True)
class LearnPlan:
    """What a turn is made with.

    ``settings`` are laid over the run's configuration behind what makes a turn short: ``n_epochs`` passes, at
    ``rate_share`` of the run's learning rate. ``also`` names matches that are predicted though they were not corrected.
    ``labels_file`` is the name of the label files, None for the label set's.
    """

    run: Path
    data_root: Path
    out: Path
    features: tuple[Path, ...] = ()
    label_set: LabelSet | None = None
    settings: tuple[str, ...] = ()
    n_epochs: int = 3
    rate_share: float = 0.4
    seed: int = 0
    also: tuple[str, ...] = ()
    labels_file: str | None = None


@dataclass(frozen=True)
class Learned:
    """What came of a turn: ``valid_before`` and ``valid_after`` are mAP@1 (0..1) of the validation matches, by the
    labels as they are now; ``changes`` count spots of each corrected match from ``shown_from`` up, which
    is the old run's threshold.
    """

    run: str
    before: str
    corrections: tuple[Correction, ...]
    new_labels: tuple[str, ...]
    valid: tuple[str, ...]
    valid_before: float
    valid_after: float
    changes: Mapping[str, dict[str, int]] = field(default_factory=dict)
    shown_from: float = SHOWN

    def lines(self) -> Iterator[str]:
        """The result as lines for a terminal or the page."""
        for one in self.corrections:
            if one.decided_s is not None:
                yield f"{one.name}: labelled in part; learned from the {one.decided_s:.0f} s that were decided"
        for name, change in self.changes.items():
            hits = f"{change['hits_before']} -> {change['hits_after']} of {change['labels']}"
            yield (
                f"{name}: {change['before']} -> {change['after']} spots from {self.shown_from:.3g} up, "
                f"{change['gained']} new, {change['lost']} gone; labels found {hits} (trained on them)"
            )
        yield (
            f"validation ({', '.join(self.valid)}): mAP@1 {100 * self.valid_before:.2f} -> {100 * self.valid_after:.2f}"
        )


def learn(plan: LearnPlan, device: torch.device) -> Learned:
    """Trains a new run that begins with the old one, on its matches and the corrected ones, and tells what changed.

    The new run's folder holds the old head's predictions of the corrected matches, too, and ``learned.json``.
    Raises BallspotError where nothing was corrected, the corrected matches have no features, or the run is none.
    """
    old = RunFolder(plan.run)
    start = WarmStart.of_run(plan.run)
    record = old.record()
    source = _source(plan, old, start.description.features_fingerprint)
    label_set = plan.label_set or label_set_of(record, str(plan.run / "run.json"))
    data = DataSelection(
        plan.data_root, label_set, labels_file=plan.labels_file, one_video=True, stored=source.recordings
    ).opened()
    of_run = recorded_splits(record, str(plan.run / "run.json"))
    in_part = _in_part(record, plan.run)
    corrections = find_corrections(data, of_run, in_part)
    _check(plan, corrections, source)
    make_folder(plan.out.parent)
    with TemporaryDirectory(prefix=f".{plan.out.name[:60]}.", dir=plan.out.parent) as waiting:
        return _turn(plan, device, _Known(old, start, source, data, of_run, in_part, corrections), Path(waiting))


def _in_part(record: Mapping[str, Any], run: Path) -> tuple[str, ...]:
    """The matches that a run knew in part."""
    stretches = record.get(DECIDED, {})
    if not isinstance(stretches, dict):
        raise BallspotError(f"{run / 'run.json'}: garbles {DECIDED!r}; train the run again")
    return tuple(stretches)


@dataclass(frozen=True)
class _Known:
    """What is known before a turn: the old run, its head, features and split, the labels, and what was corrected.

    ``in_part`` names the matches that the run itself knew in part.
    """

    old: RunFolder
    start: WarmStart
    source: FeatureSource
    data: DataSelection
    of_run: Splits
    in_part: tuple[str, ...]
    corrections: tuple[Correction, ...]


def _turn(plan: LearnPlan, device: torch.device, known: _Known, waiting: Path) -> Learned:
    """The turn itself; the old head's predictions wait in ``waiting`` until the new run has a folder."""
    source, data, corrections = known.source, known.data, known.corrections
    names = [one.name for one in corrections]
    wholes = {data.matches[name].whole for name in names} | set(plan.also)
    of_wholes = [one.name for one in data.matches.values() if wholes & {one.name, one.whole}]
    shown = list(dict.fromkeys([*names, *(name for name in of_wholes if name in source.recordings)]))
    halves = halves_by_match(data.matches[name] for name in shown)
    labels = {name: labels_of(data, data.matches[name]) for name in names}
    spots_before = _predict(known.old, source, shown, waiting / BEFORE, device)
    write_wholes(waiting / BEFORE, halves)
    corrected = corrected_data(data, known.of_run, corrections)
    experiment = Experiment(
        data=corrected,
        config=_config(plan, known.start, n_rows=_n_rows(source, corrected.splits.part("train"))),
        source=source,
        seed=plan.seed,
        shuffle_labels=False,
        device=device,
        start=known.start,
        decided=_decided(known, corrected.splits.part("train")),
    )
    valid = corrected.splits.part(SPLIT)
    _predict(known.old, source, valid, waiting / BEFORE_VALID, device)
    ((new, _),) = train_seeds(experiment, [plan.out], track=False)
    for name in (BEFORE, BEFORE_VALID):
        shutil.move(waiting / name, plan.out / name)
    shown_from = read_threshold(plan.run)
    write_threshold(plan.out / BEFORE, shown_from)  # the page opens both heads at it
    shown_from = SHOWN if shown_from is None else shown_from
    spots_after = _predict(new, source, shown, plan.out / "predictions" / "all", device)
    write_wholes(plan.out / "predictions" / "all", halves)
    result = Learned(
        run=str(plan.out),
        before=str(plan.run),
        corrections=corrections,
        new_labels=tuple(one for one in data.label_set.labels if one not in known.start.description.label_set),
        valid=tuple(valid),
        valid_before=_mean_ap(plan.out / BEFORE_VALID, corrected, valid),
        valid_after=_mean_ap(plan.out / "predictions" / SPLIT, corrected, valid),
        changes={
            name: compare_spots(spots_before[name], spots_after[name], labels[name], shown_from) for name in names
        },
        shown_from=shown_from,
    )
    write_json(plan.out / RECORD, asdict(result))
    return result


def _decided(known: _Known, train: Sequence[str]) -> dict[str, tuple[Stretch, ...]]:
    """The decided stretches of the training matches that are labelled in part; none where all are labelled as a whole.

    What the run knew in part stays so where its journal is gone.
    """
    of_corrected = {one.name: one.decided for one in known.corrections}
    left = (name for name in known.in_part if name in train and name not in of_corrected)
    found = {name: decided_of(known.data, known.data.matches[name]) for name in left}
    found |= {name: stretches for name, stretches in of_corrected.items() if stretches is not None}
    return {name: found[name] for name in train if name in found}


def compare_spots(
    before: Sequence[Spot], after: Sequence[Spot], labels: Sequence[Spot], shown_from: float = SHOWN
) -> dict[str, int]:
    """How many spots from ``shown_from`` up there were and are, are new and gone, and how many labels they find.

    Spots of one class within half a second are one.
    """
    old, new = ([one for one in spots if (one.confidence or 0.0) >= shown_from] for spots in (before, after))
    return {
        "before": len(old),
        "after": len(new),
        "gained": len(new) - _n_found(new, old),
        "lost": len(old) - _n_found(old, new),
        "labels": len(labels),
        "hits_before": _n_found(labels, old),
        "hits_after": _n_found(labels, new),
    }


def _n_found(wanted: Sequence[Spot], among: Sequence[Spot]) -> int:
    """How many of ``wanted`` have one of their class among the others near them."""
    times: dict[str, list[int]] = {}
    for one in among:
        times.setdefault(one.label, []).append(one.position_ms)
    return sum(any(abs(ms - one.position_ms) <= NEAR_MS for ms in times.get(one.label, ())) for one in wanted)


def _source(plan: LearnPlan, old: RunFolder, fingerprint: str) -> FeatureSource:
    sets = plan.features or sets_of_run(old, fingerprint)
    return open_source(sets[0], sets[1:])


def _check(plan: LearnPlan, corrections: Sequence[Correction], source: FeatureSource) -> None:
    if not corrections:
        raise BallspotError(
            f"{plan.data_root}: no labels were corrected here; correct some with "
            f"`ballspot view {plan.run} --data {plan.data_root} --edit`"
        )
    missing = [one.name for one in corrections if one.name not in source.recordings]
    if missing:
        raise BallspotError(
            f"{source.path}: has no features of the corrected match {missing[0]!r}; extract them into this set, or "
            "give the set that has them with --features"
        )
    if (plan.out / "run.json").exists():
        raise BallspotError(f"{plan.out}: is a run already; choose another --run")


def _n_rows(source: FeatureSource, names: Sequence[str]) -> int:
    total = 0
    for name in names:
        with source.open(name) as group:
            total += group.n_rows
    return total


def _config(plan: LearnPlan, start: WarmStart, *, n_rows: int) -> Any:
    """The old run's configuration, for a short turn: of much video a pass draws `MOST_FRAMES`.

    Only the last head is judged, and kept: of a whole match a validation takes as long as a pass.
    """
    table = as_table(start.description.config)
    rate, frames = table["training"]["learning_rate"] * plan.rate_share, table["training"]["epoch_frames"]
    short = [f"n_epochs={plan.n_epochs}", "warmup_epochs=0.2", f"learning_rate={rate!r}"]
    short += [f"validation_every_epochs={plan.n_epochs}", "early_stop_epochs=0"]
    if frames != "auto" or n_rows > MOST_FRAMES:
        short.append(f"epoch_frames={min(MOST_FRAMES, n_rows if frames == 'auto' else frames)}")
    return changed_config(table, [*short, *plan.settings], source=f"{plan.run} (learn)")


def _predict(
    run: RunFolder, source: FeatureSource, names: Sequence[str], out: Path, device: torch.device
) -> dict[str, tuple[Spot, ...]]:
    """The spots that a run's best head finds in each match, which are written to ``out`` as well.

    Those that the run's own folder already has are copied: of a whole match they take seconds.
    """
    ensemble = Ensemble((read_checkpoint(run.path / BEST),), device)
    key = run.entry("key", str)
    record = prediction_record(ensemble, run_keys=[key], checkpoint_name="best", names=list(names))
    claim_folder(out, record)
    left = copy_predicted(run.path / "predictions", record, names, out)
    for done in predict_matches(ensemble, source, left, out=out):
        note(f"{done.name}: {done.n_spots} spots by {run.path.name}")
    return {name: read_spots(out / name / SPOTS_FILE) for name in names}


def _mean_ap(folder: Path, data: DataSelection, names: Sequence[str]) -> float:
    evaluation = evaluate_predictions(folder, data, names, bootstrap=Bootstrap(0))
    return float(evaluation.result.mean_ap)
