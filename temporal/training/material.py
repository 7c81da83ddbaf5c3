"""What an experiment's runs are made of: scaled features, and the events and anchors of the training matches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...cache.errors import BallspotError
from ...cache.terminal import note
from ...evaluate.dataset import LabelArrays, Spot, label_arrays
from ..clips import Anchors, DecidedRows, EventTable, event_anchors, event_table, mistake_anchors, redraw_times
from ..config import DTYPES, ClipGrid, prediction_views
from ..decoding import read_scores
from ..features import MatchRows, ResidentFeatures, Scaling, load_features, scale_features
from .epoch import TrainingMaterial, training_material
from .task import Report, Task

if TYPE_CHECKING:
    from .task import Experiment


@dataclass(frozen=True)
class LoadedFeatures:
    """The scaled features of the training and the validation matches, which runs of several seeds can share."""

    training: ResidentFeatures
    validation: ResidentFeatures
    scaling: Scaling | None


def load_both(
    experiment: "Experiment", *, spill: Path, files: tuple[Path, Path] | tuple[None, None] = (None, None)
) -> LoadedFeatures:
    """Features for the runs of an experiment, whatever their seeds; beyond the limit they lie in the folder spill.

    With ``files`` the training and the validation features lie in these two new files, mapped.
    """
    config = experiment.config
    for line in experiment.rows.resampled([*experiment.splits.part("train"), *experiment.splits.part("valid")]):
        note(line)
    training = _features(experiment, experiment.splits.part("train"), config.clips.views, spill, files[0])
    scaling = scale_features(training, config.clips.scaling)
    validation = _features(experiment, experiment.splits.part("valid"), prediction_views(config), spill, files[1])
    scale_features(validation, config.clips.scaling, fitted=scaling)
    return LoadedFeatures(training, validation, scaling)


def training_side(experiment: Task, features: ResidentFeatures, report: Report) -> TrainingMaterial:
    """Features, events and anchors of the training matches; ``report`` hears of labels that were left out."""
    config = experiment.config
    labels = _label_arrays(experiment, experiment.spots("train"), features.matches, report)
    decided = None
    if experiment.decided:
        decided = DecidedRows.of(experiment.decided, features.matches, features.frame_spacing)
        labels = [
            decided.labels(one, match, features.frame_spacing)
            for one, match in zip(labels, features.matches, strict=True)
        ]
    if experiment.shuffle_labels:
        labels = redraw_times(labels, features.matches, seed=experiment.seed)
    events = event_table(
        labels, n_labels=len(experiment.label_set), sided=config.head.teams == "labels", device=experiment.device
    )
    if not len(events.key):
        names = ", ".join(match.name for match in features.matches)
        raise BallspotError(f"no event in the training matches {names}; a head learns from labelled events")
    anchors = _anchors(experiment, features, events, labels)
    return training_material(features, events, config, anchors=anchors, decided=decided)


def _anchors(
    experiment: Task, features: ResidentFeatures, events: EventTable, labels: Sequence[LabelArrays]
) -> Anchors | None:
    section = experiment.config.training
    if section.sampling == "uniform":
        return None
    if section.sampling == "hard-negatives":
        files = experiment.mistake_files()
        saved = {name: read_scores(path) for name, path in files.items()}
        for name, scores in saved.items():
            if scores.labels != experiment.label_set.labels:
                raise BallspotError(
                    f"{files[name]}: scores of {', '.join(scores.labels)} are not of label set "
                    f"{experiment.label_set.name!r}; predict with a run of these labels"
                )
        by_name = {match.name: arrays for match, arrays in zip(features.matches, labels, strict=True)}
        return mistake_anchors(saved, by_name, features, section)
    return event_anchors(events, ClipGrid.of(experiment.config, features.frame_spacing), section)


def _features(
    experiment: "Experiment", names: Sequence[str], views: tuple[str, ...], spill: Path, file: Path | None
) -> ResidentFeatures:
    section = experiment.config.clips
    return load_features(
        experiment.rows,
        names,
        device=experiment.device,
        dtype=DTYPES[section.resident_dtype],
        views=views,
        limit_gb=section.resident_limit_gb,
        spill=spill,
        file=file,
    )


def _label_arrays(
    experiment: Task, spots: Mapping[str, Sequence[Spot]], matches: Sequence[MatchRows], report: Report
) -> list[LabelArrays]:
    """The training labels as arrays; a line to ``report`` for every match that has collisions or late events."""
    labels = []
    for match in matches:
        arrays = label_arrays(spots[match.name], experiment.label_set, axis=match.axis, match=match.name)
        if arrays.n_collisions or arrays.n_outside:
            report(f"{match.name}: {arrays.oddities()}")
        labels.append(arrays)
    return labels
