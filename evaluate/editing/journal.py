"""The journal beside a label file: a line a step, on the disk before the file is written.

``Labels-ball.edits.jsonl`` begins with a line that says of which file, by its digest, it tells from which revision on.
Every step has a line with what it changed and the digest of the file after it, and a second one once the file is
there. A line that a kill cut short is the last one, and nothing was acknowledged of it.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ...cache.disk import find_temporary, reason_of, sync, whole_file
from ...cache.errors import BallspotError
from .document import Change

FORMAT = "ballspot-edits-1"
ENDING = ".edits.jsonl"
Said = TypeVar("Said")


@dataclass(frozen=True)
class Rejection:
    """A predicted spot that somebody said is none."""

    label: str
    half: int
    position_ms: int

    def as_record(self) -> dict[str, Any]:
        """The rejection as a JSON object."""
        return {"label": self.label, "half": self.half, "position_ms": self.position_ms}

    @classmethod
    def of_record(cls, record: Any) -> "Rejection":
        """The rejection that a JSON object stands for. Raises ValueError for another value."""
        label, half, position_ms = (record[key] for key in ("label", "half", "position_ms"))
        if not isinstance(label, str) or type(half) is not int or type(position_ms) is not int:
            raise ValueError("no rejection")
        return cls(label, half, position_ms)


@dataclass(frozen=True)
class Stretch:
    """A stretch of a half that somebody has watched to its end."""

    half: int
    from_ms: int
    to_ms: int

    def as_record(self) -> dict[str, Any]:
        """The stretch as a JSON object."""
        return {"half": self.half, "from_ms": self.from_ms, "to_ms": self.to_ms}

    @classmethod
    def of_record(cls, record: Any) -> "Stretch":
        """The stretch that a JSON object stands for. Raises ValueError for another value."""
        values = [record[key] for key in ("half", "from_ms", "to_ms")]
        if any(type(one) is not int for one in values) or values[1] >= values[2]:
            raise ValueError("no stretch")
        return cls(*values)


@dataclass(frozen=True)
class Step:
    """One step: what it is called, what it changed, and the digest of the label file after it.

    ``rejects`` holds rejections, and ``watches`` stretches, each with whether it was made (or taken back). ``undoes``
    and ``redoes`` name the revision of the step that was taken back, or stands again.
    """

    revision: int
    does: str
    digest: str
    changes: tuple[Change, ...] = ()
    rejects: tuple[tuple[Rejection, bool], ...] = ()
    watches: tuple[tuple[Stretch, bool], ...] = ()
    undoes: int | None = None
    redoes: int | None = None

    def line(self, when: str) -> str:
        """The step as a line of the journal."""
        record: dict[str, Any] = {
            "revision": self.revision,
            "does": self.does,
            "when": when,
            "changes": [one.as_record() for one in self.changes],
            "rejects": [{**one.as_record(), "made": made} for one, made in self.rejects],
            "digest": self.digest,
        }
        watches = [{**one.as_record(), "made": made} for one, made in self.watches]
        more = {"watches": watches or None, "undoes": self.undoes, "redoes": self.redoes}
        return _line({**record, **{key: value for key, value in more.items() if value is not None}})

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Step":
        """The step that a line stands for. Raises ValueError, KeyError or TypeError for another value."""
        revision, does, digest = (record[key] for key in ("revision", "does", "digest"))
        undoes, redoes = record.get("undoes"), record.get("redoes")
        numbers = (revision, *(one for one in (undoes, redoes) if one is not None))
        if any(type(one) is not int for one in numbers) or not isinstance(does, str) or not isinstance(digest, str):
            raise ValueError("no step")
        changes = tuple(Change.of_record(one) for one in record["changes"])
        rejects = tuple((Rejection.of_record(one), one["made"] is True) for one in record["rejects"])
        watches = tuple((Stretch.of_record(one), one["made"] is True) for one in record.get("watches", ()))
        return cls(revision, does, digest, changes, rejects, watches, undoes, redoes)


@dataclass(frozen=True)
class Base:
    """Where a journal begins: the file it tells of and its number of labels, what was rejected and watched by then."""

    digest: str
    revision: int = 0
    rejected: tuple[Rejection, ...] = ()
    watched: tuple[Stretch, ...] = ()
    n_labels: int = 0

    def line(self, name: str) -> str:
        """The base as the first line of the journal of the file ``name``."""
        rejected, watched = ([one.as_record() for one in found] for found in (self.rejected, self.watched))
        held = {"revision": self.revision, "digest": self.digest, "n_labels": self.n_labels}
        return _line({"format": FORMAT, "file": name, **held, "rejected": rejected, "watched": watched})


@dataclass(frozen=True)
class JournalContent:
    """What a journal holds: ``n_bytes`` of whole lines; ``is_whole`` is False where a line before the last is none."""

    base: Base
    steps: tuple[Step, ...] = ()
    is_saved: bool = True
    n_bytes: int = 0
    is_whole: bool = True


def journal_of(path: Path) -> Path:
    """Where the journal of the label file ``path`` lies."""
    return path.with_name(path.stem + ENDING)


def read_journal(path: Path) -> JournalContent | None:
    """The content of a journal, without what a kill left half written; None where there is none.

    What stands behind a line that cannot be read, other than the last, is not taken (``is_whole`` is False).
    Raises BallspotError where the system cannot read it.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BallspotError(f"{path}: cannot be read ({error.strerror}); check its rights") from error
    lines = content.split(b"\n")
    base, steps, saved, n_bytes, is_whole = None, [], -1, 0, True
    for line in lines[:-1]:  # behind the last line end stands nothing, or what a kill cut short
        try:
            record = json.loads(line)
            if base is None:
                base = _base(record)
            elif "saved" in record:
                saved = record["saved"]
            else:
                steps.append(_next(record, base, steps))
        except (ValueError, KeyError, TypeError, RecursionError):
            is_whole = False
            break
        n_bytes += len(line) + 1
    if base is None:
        return None if is_whole else JournalContent(Base(""), is_whole=False)
    return JournalContent(base, tuple(steps), not steps or saved == steps[-1].revision, n_bytes, is_whole)


@dataclass(frozen=True)
class Decisions:
    """What a journal says beside the labels: what was rejected, what was watched, and whether there were labels before.

    ``began_empty``: every label was made since, so that nobody has said that the file is complete.
    """

    rejected: tuple[Rejection, ...] = ()
    watched: tuple[Stretch, ...] = ()
    began_empty: bool = False


def decisions_beside(labels: Path) -> Decisions:
    """What the journal beside a label file says was decided; nothing without one.

    Where another program has changed the file, its journal was kept under a number, and the first one says how the
    labels began.
    """
    journal = journal_of(labels)
    content = read_journal(journal)
    if content is None:
        return Decisions()
    first = read_journal(_kept(journal, 1)) or content
    return Decisions(
        rejected_by(content.base, content.steps), watched_by(content.base, content.steps), not first.base.n_labels
    )


def rejected_by(base: Base, steps: Sequence[Step]) -> tuple[Rejection, ...]:
    """The rejections that stand after the steps."""
    return _standing(base.rejected, (one for step in steps for one in step.rejects))


def watched_by(base: Base, steps: Sequence[Step]) -> tuple[Stretch, ...]:
    """The stretches that were watched, after the steps."""
    return _standing(base.watched, (one for step in steps for one in step.watches))


def _standing(before: Iterable[Said], steps: Iterable[tuple[Said, bool]]) -> tuple[Said, ...]:
    """What stands after each was made or taken back."""
    kept = dict.fromkeys(before)
    for one, made in steps:
        if made:
            kept[one] = None
        else:
            kept.pop(one, None)
    return tuple(kept)


def append(path: Path, text: str, *, n_bytes: int, synced: bool = True) -> int:
    """Writes ``text`` behind the first ``n_bytes`` of the journal and forces it to the disk; the length after it.

    Raises BallspotError where it cannot be written; the journal is then as long as before. A link is not followed.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        os.ftruncate(descriptor, n_bytes)  # what a kill cut short
        os.lseek(descriptor, n_bytes, os.SEEK_SET)
        rest = memoryview(text.encode())
        total = n_bytes + len(rest)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if synced:
            os.fsync(descriptor)
    except OSError as error:
        with suppress(OSError):
            os.ftruncate(descriptor, n_bytes)
        raise _unwritable(path, error) from error
    finally:
        os.close(descriptor)
    if synced and n_bytes == 0:
        sync(path.parent)
    return total


def cut(path: Path, n_bytes: int) -> None:
    """Takes back what was written behind the first ``n_bytes``; of none, the journal itself."""
    with suppress(OSError):
        if n_bytes == 0:
            path.unlink()
            return
        with path.open("r+b") as stream:
            stream.truncate(n_bytes)
            stream.flush()
            os.fsync(stream.fileno())


def begin_anew(path: Path, text: str) -> int:
    """Puts ``text`` in place of a journal, which is kept beside it under a number; the length of the new one."""
    if path.exists():
        content = path.read_bytes()
        number = 1
        while (kept := _kept(path, number)).exists():
            if kept.read_bytes() == content:  # a kill came between the two
                break
            number += 1
        if not kept.exists():
            with whole_file(kept) as temporary:
                temporary.write_bytes(content)
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
    return len(text.encode())


def _kept(journal: Path, number: int) -> Path:
    """Where a journal is kept under a number."""
    return journal.with_name(f"{journal.name.removesuffix(ENDING)}.edits-{number}.jsonl")


def tidy(path: Path) -> None:
    """Removes what killed writers of the file ``path`` left beside it; for one who holds the folder's lock."""
    for left in find_temporary(path):
        with suppress(OSError):
            left.unlink()


def saved_line(revision: int) -> str:
    """The line that says that the label file is there."""
    return _line({"saved": revision})


def _base(record: Any) -> Base:
    if record["format"] != FORMAT or type(record["revision"]) is not int or not isinstance(record["digest"], str):
        raise ValueError("no journal")
    rejected = tuple(Rejection.of_record(one) for one in record["rejected"])
    watched = tuple(Stretch.of_record(one) for one in record.get("watched", ()))
    n_labels = record.get("n_labels", 0)
    if type(n_labels) is not int:
        raise ValueError("no journal")
    return Base(record["digest"], record["revision"], rejected, watched, n_labels)


def _next(record: Any, base: Base, steps: Sequence[Step]) -> Step:
    step = Step.of_record(record)
    if step.revision != base.revision + len(steps) + 1:
        raise ValueError("a step is missing")
    return step


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":")) + "\n"  # ASCII: no line end of any kind within


def _unwritable(path: Path, error: OSError) -> BallspotError:
    return BallspotError(f"{path}: cannot be written ({reason_of(error)}); free space or check rights")
