"""What was corrected since a run: which matches take part, and what fills matches that are labelled in part only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from ...cache.errors import BallspotError
from ...evaluate.dataset import DataSelection, Match, Splits, Spot, halves_by_match, read_labels
from ...evaluate.editing import REJECTED_WITHIN_MS, journal_of, rejections_beside


@dataclass(frozen=True)
class Correction:
    """One match whose labels were made or corrected in the page.

    ``is_new`` where the run knew no labels of it: what nobody has decided there is unknown, not background.
    """

    name: str
    n_labels: int
    n_rejected: int
    is_new: bool


def find_corrections(data: DataSelection, of_run: Splits) -> tuple[Correction, ...]:
    """The matches of ``data`` that have a journal where their label file is, or would be, by name.

    ``of_run`` is the run's own split. A match of which predictions were rejected and no label was made has no file.
    """
    known = set(of_run.by_match["train"]) | set(of_run.by_match["valid"])
    found: dict[str, Correction] = {}
    for name, match in data.matches.items():
        at = data.labels_at(match)
        if at is None or not journal_of(at.resolve()).is_file():
            continue
        n_labels = 0 if match.labels_path is None else len(read_labels(match.labels_path, data.label_set))
        n_rejected = len(rejections_beside(at.resolve()))
        found[name] = Correction(name, n_labels, n_rejected, match.whole not in known)
    return tuple(found.values())


@dataclass(frozen=True)
class CorrectedData(DataSelection):
    """A data root with a split of its own; ``filled`` are spots that stand beside the labels of a match."""

    parts: Splits | None = None
    filled: Mapping[str, tuple[Spot, ...]] = field(default_factory=dict)

    @cached_property
    def splits(self) -> Splits:
        """The split that was made for these corrections."""
        assert self.parts is not None  # noqa: S101  made by corrected_data
        return self.parts

    def _spots(self, match: Match, where: str, remedy: str) -> tuple[Spot, ...]:
        is_blank = match.labels_path is None and match.name in self.filled  # all that was decided there are rejections
        spots = () if is_blank else super()._spots(match, where, remedy)
        return tuple(sorted((*spots, *self.filled.get(match.name, ())), key=lambda one: one.position_ms))


def corrected_data(
    data: DataSelection, of_run: Splits, corrections: Sequence[Correction], filled: Mapping[str, tuple[Spot, ...]]
) -> CorrectedData:
    """The run's matches, and the corrected ones among those to train on; the validation matches stay as they are.

    A corrected match of the run's test part is trained on and tests no more. Raises BallspotError where the validation
    matches are not there.
    """
    halves = data.matches
    missing = [name for name in of_run.by_match["valid"] if not any(one.whole == name for one in halves.values())]
    if missing:
        raise BallspotError(f"{data.data_root}: has no {missing[0]!r}, which the run was validated on; give its --data")
    own = dict.fromkeys(halves[one.name].whole for one in corrections)
    valid = of_run.by_match["valid"]
    there = {one.whole for one in halves.values()}
    train = tuple(dict.fromkeys([*(one for one in of_run.by_match["train"] if one in there), *own]))
    train = tuple(one for one in train if one not in valid)
    test = tuple(one for one in of_run.by_match["test"] if one in there and one not in own)
    parts = replace(
        of_run,
        train=train,
        valid=valid,
        test=test,
        source="the run's, with corrected matches",
        halves=halves_by_match(halves.values()),
    )
    if not train:
        raise BallspotError(
            f"{data.data_root}: has none of the matches that the run was trained on, and no corrected one"
        )
    return CorrectedData(
        data.data_root,
        data.label_set,
        labels_file=data.labels_file,
        one_video=data.one_video,
        stored=data.stored,
        parts=parts,
        filled=filled,
    )


def labels_of(data: DataSelection, match: Match) -> tuple[Spot, ...]:
    """The labels of a corrected match; none where it has no label file yet."""
    return () if match.labels_path is None else data.spots_of(match)


def rejected_of(data: DataSelection, match: Match) -> tuple[tuple[str, int], ...]:
    """What was rejected of the predictions of a recording: class and ms of each."""
    at = data.labels_at(match)
    found = () if at is None else rejections_beside(at.resolve())
    return tuple((one.label, one.position_ms) for one in found if one.half == (match.half or one.half))


def fill(
    spots: Sequence[Spot], labels: Sequence[Spot], rejected: Sequence[tuple[str, int]], threshold: float
) -> tuple[Spot, ...]:
    """The predictions of a match that stand in for labels where nobody has decided: those from the threshold up.

    None near a label of any class, which somebody has looked at, and none of a class that was ``rejected`` there.
    """
    times = [one.position_ms for one in labels]
    return tuple(
        Spot(one.label, one.position_ms, one.half, one.team)
        for one in spots
        if (one.confidence or 0.0) >= threshold
        and not any(abs(ms - one.position_ms) <= REJECTED_WITHIN_MS for ms in times)
        and not any(label == one.label and abs(ms - one.position_ms) <= REJECTED_WITHIN_MS for label, ms in rejected)
    )
