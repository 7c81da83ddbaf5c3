"""One label file under correction: every step is in the journal and in the file before it is acknowledged."""

import stat
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from ...cache.disk import locked_folder, whole_file
from ...cache.errors import BallspotError
from ..dataset import LabelSet, Spot, half_of, labels_in, read_position
from .actions import (
    NAME_OF,
    Accept,
    AcceptAll,
    Action,
    Add,
    Delete,
    Move,
    Note,
    Redo,
    Reject,
    SetClass,
    SetTeam,
    Undo,
    Watch,
)
from .document import Change, Entry, LabelDocument, moved_entry, new_entry, read_document
from .journal import (
    ENDING,
    Base,
    JournalContent,
    Rejection,
    Step,
    Stretch,
    append,
    begin_anew,
    cut,
    journal_of,
    read_journal,
    rejected_by,
    saved_line,
    tidy,
    watched_by,
)

ACCEPTS = "accept "  # how steps that accept are called
REJECTED_WITHIN_MS = 500  # a new head finds the same mistake some frames away
Stamp = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True)
class BookState:
    """What a label file holds at a revision.

    ``places`` gives each spot's place in the file. ``undoes`` and ``redoes`` say what the next undo and redo are of;
    None where there is nothing. ``remark`` says what became of a file or journal that somebody else changed.
    ``digest`` is that of the file, "" where there is none.
    """

    revision: int
    spots: tuple[Spot, ...]
    entries: tuple[Entry, ...]
    rejected: tuple[Rejection, ...]
    watched: tuple[Stretch, ...]
    undoes: str | None
    redoes: str | None
    remark: str = ""
    digest: str = ""


class ConflictError(BallspotError):
    """The file has changed since the revision that an edit was made at; ``state`` is how it is now."""

    def __init__(self, state: BookState) -> None:
        super().__init__("somebody else has changed these labels meanwhile; look at them and do it again")
        self.state = state


class LabelBook:
    """The labels of one match, corrected step by step by any number of threads and processes.

    Raises BallspotError where the file is no label file, where it or its journal is a link that leads out of ``root``.
    The file is made by the first edit where there is none.
    """

    def __init__(self, path: Path, label_set: LabelSet, *, match: str, root: Path) -> None:
        self.asked, self.root, self.match, self.label_set = path, root.resolve(), match, label_set
        self.path = self._inside()
        self.journal = journal_of(self.path)
        self.mutex = threading.Lock()
        self.stamp: Stamp = ()
        self.remark = ""
        with self.mutex, locked_folder(self.path.parent):
            tidy(self.path)
            tidy(self.journal)
            self._refresh()

    def state(self) -> BookState:
        """The labels as they are on the disk. Raises BallspotError where they cannot be read any more."""
        with self.mutex, locked_folder(self.path.parent):
            self._refresh()
            return self._state()

    def edit(self, action: Action, *, revision: int, digest: str | None = None) -> BookState:
        """Does one action at a revision and gives the state after it, which is on the disk.

        With ``digest`` the file must be the one that has it, too: two servers may each count the changes of another
        program in their own way.

        Raises `ConflictError` where the labels are at another revision, and BallspotError where the action does not fit
        or the disk does not take it: the labels are then as they were.
        """
        with self.mutex, locked_folder(self.path.parent):
            self._refresh()
            if revision != self.revision or digest not in (None, self.digest):
                raise ConflictError(self._state())
            self._commit(self._step(action))
            return self._state()

    @property
    def revision(self) -> int:
        """The number of the last step."""
        return self.steps[-1].revision if self.steps else self.base.revision

    @property
    def digest(self) -> str:
        """The digest of the label file, "" where there is none."""
        return self.steps[-1].digest if self.steps else self.base.digest

    def _inside(self) -> Path:
        """Where the label file really lies. Raises BallspotError where that, or its journal, is outside of the root."""
        real = self.asked.resolve()
        if not real.is_relative_to(self.root) or real.name.endswith(ENDING):
            raise BallspotError(
                f"{self.asked}: leads out of {self.root}; labels are written only below that folder, so put "
                "a copy of the file there"
            )
        if journal_of(real).is_symlink():
            raise BallspotError(f"{journal_of(real)}: is a link; put a copy of the journal in its place")
        return real

    def _refresh(self) -> None:
        """Reads file and journal where they are not as this book left them; finishes what a kill interrupted."""
        if self._inside() != self.path:
            raise BallspotError(f"{self.asked}: is now a link elsewhere; start again")
        if self.stamp and self.stamp == self._stamp():
            return
        document, content = read_document(self.path, self.match)
        journal = read_journal(self.journal)
        digest = _digest(content)
        if journal is None:
            revision = self.revision + 1 if self.stamp else 0
            self._begin(document, Base(digest, revision, n_labels=len(document.entries)), starts_anew=False)
        elif journal.is_whole and _last_digest(journal) == digest:
            self.base, self.steps, self.n_bytes = journal.base, list(journal.steps), journal.n_bytes
            self.document, self.starts_anew = document, False
        elif journal.is_whole and not journal.is_saved and _last_digest(journal, before=1) == digest:
            self._finish(document, journal)
        else:
            rejected, watched = rejected_by(journal.base, journal.steps), watched_by(journal.base, journal.steps)
            last = journal.steps[-1].revision if journal.steps else journal.base.revision
            last = max(last, self.revision if self.stamp else 0)  # it may have changed before, with no step since
            self.remark = f"{self.path.name} was changed by another program; undo begins there"
            n_labels = len(document.entries)
            self._begin(document, Base(digest, last + 1, rejected, watched, n_labels), starts_anew=True)
        self.stamp = self._stamp()

    def _begin(self, document: LabelDocument, base: Base, *, starts_anew: bool) -> None:
        """A journal from here on, which is written with the first step."""
        self.base, self.steps, self.n_bytes = base, [], 0
        self.document, self.starts_anew = document, starts_anew

    def _finish(self, document: LabelDocument, journal: JournalContent) -> None:
        """Writes the file of the last step, which a kill kept from it."""
        try:
            document = document.changed(journal.steps[-1].changes)
        except ValueError as error:
            raise BallspotError(f"{self.journal}: its last step does not fit the labels; put it elsewhere") from error
        self.base, self.steps, self.n_bytes = journal.base, list(journal.steps), journal.n_bytes
        self.document, self.starts_anew = document, False
        self._write(document.text())
        self._note_saved()

    def _commit(self, step: Step) -> None:
        """The journal, then the file; where the file cannot be written the journal is as before, too."""
        try:
            document = self.document.changed(step.changes)
        except ValueError as error:
            raise BallspotError(f"{self.journal}: a step of it does not fit the labels; put it elsewhere") from error
        text = document.text() if step.changes else None
        step = replace(step, digest=self.digest if text is None else _digest(text.encode()))
        line = step.line(datetime.now(UTC).isoformat(timespec="milliseconds"))
        before = self.n_bytes
        if self.starts_anew:
            self.n_bytes = begin_anew(self.journal, self.base.line(self.path.name))
            self.starts_anew = False
            before = self.n_bytes
        head = "" if before else self.base.line(self.path.name)
        self.n_bytes = append(self.journal, head + line, n_bytes=before)
        try:
            if text is not None:
                self._write(text)
        except BaseException:
            cut(self.journal, before)
            self.n_bytes, self.stamp = before, ()
            raise
        self.document, self.remark = document, ""
        self.steps.append(step)
        self._note_saved()
        self.stamp = self._stamp()

    def _write(self, text: str) -> None:
        try:
            mode = stat.S_IMODE(self.path.stat().st_mode)
        except OSError:
            mode = None
        with whole_file(self.path, mode=mode) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")

    def _note_saved(self) -> None:
        """Says in the journal that the file is there; nothing is lost where that cannot be written."""
        try:
            self.n_bytes = append(self.journal, saved_line(self.revision), n_bytes=self.n_bytes, synced=False)
        except BallspotError:
            return

    def _stamp(self) -> Stamp:
        """By what a file that was changed is known again: its place on the disk, length and time."""
        found = []
        for path in (self.path, self.journal):
            try:
                at = path.stat()
            except OSError:
                found.append(None)
            else:
                found.append((at.st_ino, at.st_size, at.st_mtime_ns))
        return tuple(found)

    def _state(self) -> BookState:
        undo, redo = _stacks(self.steps)
        return BookState(
            revision=self.revision,
            spots=self.document.spots,
            entries=self.document.entries,
            rejected=rejected_by(self.base, self.steps),
            watched=watched_by(self.base, self.steps),
            undoes=undo[-1].does if undo else None,
            redoes=redo[-1].does if redo else None,
            remark=self.remark,
            digest=self.digest,
        )

    def _step(self, action: Action) -> Step:
        """The step that an action is, from the labels as they are. Raises BallspotError where it does not fit."""
        number = self.revision + 1
        if isinstance(action, (Undo, Redo)):
            return self._walked(action, number)
        if isinstance(action, Reject):
            rejection = Rejection(action.label, action.half, action.position_ms)
            if rejection in rejected_by(self.base, self.steps):
                raise BallspotError(f"edit: the {action.label} at {action.position_ms} ms is rejected already")
            return Step(number, f"reject {action.label}", "", rejects=((rejection, True),))
        if isinstance(action, Watch):
            stretch = Stretch(action.half, action.from_ms, action.to_ms)
            if stretch in watched_by(self.base, self.steps):
                raise BallspotError("edit: this stretch is watched already")
            return Step(number, "watch", "", watches=((stretch, True),))
        if isinstance(action, (Accept, Add)):
            return Step(number, f"{NAME_OF[type(action)]} {action.label}", "", self._added([action]))
        if isinstance(action, AcceptAll):
            return Step(number, f"accept {len(action.spots)} spots", "", self._added(action.spots))
        place = action.entry
        if place >= len(self.document.entries):
            raise BallspotError(f"edit: there is no label {place}; there are {len(self.document.entries)}")
        before = self.document.entries[place]
        after = _changed_entry(before, action)
        if after == before:
            raise BallspotError("edit: that is how it is already")
        does = f"{NAME_OF[type(action)]} {before['label']}"
        rejects = tuple((one, True) for one in self._left(self.document.spots[place], action))
        return Step(number, does, "", (Change(place, before, after),), rejects)

    def _left(self, label: Spot, action: Move | SetClass | SetTeam | Delete | Note) -> tuple[Rejection, ...]:
        """The accepted spot that a label is of, where the action takes the label away from it: that is a rejection.

        Else the prediction would be asked about, and accepted with all others, again.
        """
        if isinstance(action, SetTeam | Note):
            return ()
        accepted = [one for one in accepted_by(self.steps) if (one.label, one.half) == (label.label, label.half)]
        nearest = min(accepted, key=lambda one: abs(one.position_ms - label.position_ms), default=None)
        if nearest is None or abs(nearest.position_ms - label.position_ms) > REJECTED_WITHIN_MS:
            return ()
        stays = isinstance(action, Move) and abs(nearest.position_ms - action.position_ms) <= REJECTED_WITHIN_MS
        return () if stays or nearest in rejected_by(self.base, self.steps) else (nearest,)

    def _added(self, spots: Sequence[Accept | Add]) -> tuple[Change, ...]:
        """The changes that put new labels in their places. Raises BallspotError for one that is there already."""
        there = {(one.label, one.half, one.position_ms) for one in self.document.spots}
        for one in spots:
            if (one.label, one.half, one.position_ms) in there:
                raise BallspotError(f"edit: there is a {one.label} at {one.position_ms} ms already")
            there.add((one.label, one.half, one.position_ms))
        ordered = sorted(spots, key=lambda one: (one.half, one.position_ms))
        new = [Spot(one.label, one.position_ms, one.half, one.team) for one in ordered]
        places = self.document.places_for(new)
        changes = [
            Change(place + n_before, None, new_entry(one))
            for n_before, (place, one) in enumerate(zip(places, new, strict=True))
        ]
        return tuple(changes)

    def _walked(self, action: Undo | Redo, number: int) -> Step:
        undo, redo = _stacks(self.steps)
        if isinstance(action, Undo):
            if not undo:
                raise BallspotError("edit: there is nothing to undo")
            last = undo[-1]
            changes = tuple(one.inverse for one in reversed(last.changes))
            rejects = tuple((one, not made) for one, made in reversed(last.rejects))
            watches = tuple((one, not made) for one, made in reversed(last.watches))
            return Step(number, f"undo {last.does}", "", changes, rejects, watches, undoes=last.revision)
        if not redo:
            raise BallspotError("edit: there is nothing to redo")
        last = redo[-1]
        held = (last.changes, last.rejects, last.watches)
        return Step(number, f"redo {last.does}", "", *held, redoes=last.revision)


def _changed_entry(entry: Entry, action: Move | SetClass | SetTeam | Delete | Note) -> Entry | None:
    if isinstance(action, Delete):
        return None
    if isinstance(action, Move):
        if read_position(entry, "edit") == action.position_ms:
            return entry
        return moved_entry(entry, half_of(entry.get("gameTime"), "edit"), action.position_ms)
    if isinstance(action, SetClass):
        return {**entry, "label": action.label}
    key, value = ("team", action.team) if isinstance(action, SetTeam) else ("note", action.text or None)
    return {**entry, key: value} if value is not None else {name: one for name, one in entry.items() if name != key}


def _stacks(steps: Sequence[Step]) -> tuple[list[Step], list[Step]]:
    """The steps that can be taken back, and those that can stand again, the next one last."""
    undo: list[Step] = []
    redo: list[Step] = []
    for step in steps:
        if step.undoes is not None and undo:
            redo.append(undo.pop())
        elif step.redoes is not None and redo:
            undo.append(redo.pop())
        elif step.undoes is None and step.redoes is None:
            undo.append(step)
            redo = []
    return undo, redo


def accepted_by(steps: Sequence[Step]) -> tuple[Rejection, ...]:
    """The predicted spots that were accepted by the steps that stand, each as the rejection that it would be."""
    standing, _ = _stacks(steps)
    made = [one.after for step in standing if step.does.startswith(ACCEPTS) for one in step.changes if one.after]
    return tuple(Rejection(one.label, one.half, one.position_ms) for one in labels_in(made, "the journal"))


def _last_digest(journal: JournalContent, *, before: int = 0) -> str:
    digests = [journal.base.digest, *(step.digest for step in journal.steps)]
    return digests[-1 - before] if before < len(digests) else ""


def _digest(content: bytes | None) -> str:
    return "" if content is None else sha256(content).hexdigest()
