"""What was corrected since a run: which matches take part, and what of them somebody has decided."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ...cache.errors import BallspotError
from ...evaluate.dataset import DataSelection, Match, Splits, Spot, halves_by_match, read_labels
from ...evaluate.editing import REJECTED_WITHIN_MS, Decisions, decisions_beside, journal_of
from ..clips import Stretch

SEEN_WITHIN_MS = REJECTED_WITHIN_MS  # who decides on a spot has looked at the half second before and after it


@dataclass(frozen=True)
class Correction:
    """One match whose labels were made or corrected in the page.

    ``decided`` are the stretches (ms, from the first to behind the last) in which somebody has decided what happens;
    None where the match is labelled as a whole. Elsewhere what happens is unknown, not background.
    """

    name: str
    n_labels: int
    decided: tuple[Stretch, ...] | None = None

    @property
    def decided_s(self) -> float | None:
        """How many seconds somebody has decided on; None for the whole match."""
        return None if self.decided is None else sum(end - start for start, end in self.decided) / 1000


def find_corrections(data: DataSelection, of_run: Splits, in_part: Collection[str] = ()) -> tuple[Correction, ...]:
    """The matches of ``data`` that have a journal where their label file is, or would be, by name.

    ``of_run`` is the run's own split, and ``in_part`` names the matches of it that it knew in part. A match is labelled
    in part where its labels began with nothing and the run did not take them for whole. A match of which predictions
    were rejected and no label was made has no file.
    """
    known = {*of_run.by_match["train"], *of_run.by_match["valid"]}
    found: dict[str, Correction] = {}
    for name, match in data.matches.items():
        at = data.labels_at(match)
        if at is None or not journal_of(at.resolve()).is_file():
            continue
        n_labels = 0 if match.labels_path is None else len(read_labels(match.labels_path, data.label_set))
        said = decisions_beside(at.resolve())
        is_whole = not said.began_empty or (match.whole in known and name not in in_part)
        decided = None if is_whole else decided_of(data, match)
        found[name] = Correction(name, n_labels, decided)
    return tuple(found.values())


def decided_of(data: DataSelection, match: Match) -> tuple[Stretch, ...]:
    """The stretches of a match that somebody has decided on, in order and apart from one another.

    Those that were watched, and `SEEN_WITHIN_MS` before and after each label and each rejected prediction.
    """
    said = _said(data, match)
    moments = [one.position_ms for one in labels_of(data, match)]
    moments += [one.position_ms for one in said.rejected if one.half == (match.half or one.half)]
    stretches = [(max(ms - SEEN_WITHIN_MS, 0), ms + SEEN_WITHIN_MS + 1) for ms in moments]
    stretches += [(one.from_ms, one.to_ms) for one in said.watched if one.half == (match.half or one.half)]
    return _joined(stretches)


def _joined(stretches: Iterable[Stretch]) -> tuple[Stretch, ...]:
    """The same time in stretches that neither overlap nor touch, in order."""
    joined: list[Stretch] = []
    for start, end in sorted(stretches):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)


def _said(data: DataSelection, match: Match) -> Decisions:
    at = data.labels_at(match)
    return Decisions() if at is None else decisions_beside(at.resolve())


@dataclass(frozen=True)
class CorrectedData(DataSelection):
    """A data root with a split of its own; the matches ``blank`` have no label file and, so far, no event."""

    parts: Splits | None = None
    blank: frozenset[str] = frozenset()

    @cached_property
    def splits(self) -> Splits:
        """The split that was made for these corrections."""
        assert self.parts is not None  # noqa: S101  made by corrected_data
        return self.parts

    def _spots(self, match: Match, where: str, remedy: str) -> tuple[Spot, ...]:
        return () if match.name in self.blank else super()._spots(match, where, remedy)


def corrected_data(data: DataSelection, of_run: Splits, corrections: Sequence[Correction]) -> CorrectedData:
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
        blank=frozenset(one.name for one in corrections if halves[one.name].labels_path is None),
    )


def labels_of(data: DataSelection, match: Match) -> tuple[Spot, ...]:
    """The labels of a corrected match; none where it has no label file yet."""
    return () if match.labels_path is None else data.spots_of(match)
