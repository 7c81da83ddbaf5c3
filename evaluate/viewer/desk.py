"""The label files that a page corrects: one book a match, opened when it is first looked at."""

import secrets
import threading
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from ...cache.errors import BallspotError
from ..dataset import LabelSet, columns_of
from ..editing import REJECTED_WITHIN_MS, BookState, ConflictError, LabelBook, read_action
from .guard import Write, Writes
from .view import View, ViewedMatch, columns_record

SEEN_WITHIN_S = 15.0  # a page asks every few seconds
MOST_CLIENTS = 200


class EditDesk:
    """The label files of the matches of a view below ``root`` (None: each in its video's folder), and nothing else.

    An address stands for one match; what is sent there is ``{"revision", "client", "action"}``, perhaps with the
    ``digest`` of the label file that the sender saw, and what comes back the labels as they are. ``action`` None only
    asks. An answer of 409 brings the labels that somebody else changed.
    """

    def __init__(self, view: View, root: Path | None, *, extra: Mapping[str, Any] | None = None) -> None:
        self.root, self.extra = root, dict(extra or {})
        self.label_set: LabelSet = view.label_set
        self.token = secrets.token_urlsafe(24)
        self.matches = {match.name: match for match in view.matches}
        self.addresses = {name: f"/edit/{secrets.token_hex(8)}" for name in self.matches}
        self.books: dict[str, LabelBook] = {}
        self.clients: dict[str, dict[str, float]] = {name: {} for name in self.matches}
        self.mutex = threading.Lock()

    def address(self, match: ViewedMatch) -> str:
        """Where the labels of a match are read and corrected."""
        return self.addresses[match.name]

    def facts(self) -> dict[str, Any]:
        """What the page is told of editing."""
        return {"edits": True, "rejected_within_ms": REJECTED_WITHIN_MS, **self.extra}

    def writes(self, more: Mapping[str, Write] | None = None) -> Writes:
        """The addresses that write, with the token that they ask for."""
        table: dict[str, Write] = {
            address: lambda sent, name=name: self.edit(name, sent) for name, address in self.addresses.items()
        }
        return Writes(self.token, {**table, **(more or {})})

    def look(self, match: ViewedMatch) -> dict[str, Any]:
        """The labels of a match as the page reads them."""
        return self._record(match.name, self._book(match.name).state())

    def edit(self, name: str, sent: Any) -> tuple[HTTPStatus, Any]:
        """Does what was sent and answers with the labels after it. Raises BallspotError for what is no edit."""
        if not isinstance(sent, dict) or set(sent) - {"digest"} != {"revision", "client", "action"}:
            raise BallspotError("edit: expected an object with revision, client and action")
        revision, client, digest = sent["revision"], sent["client"], sent.get("digest")
        if type(revision) is not int or not isinstance(client, str) or len(client) > 64:
            raise BallspotError("edit: revision is a whole number and client a short text")
        if digest is not None and not isinstance(digest, str):
            raise BallspotError("edit: digest is a text")
        book, others = self._book(name), self._others(name, client)
        if sent["action"] is None:
            state = book.state()
            if state.revision == revision and digest in (None, state.digest):
                return HTTPStatus.OK, {"revision": revision, "others": others}
            return HTTPStatus.OK, {**self._record(name, state), "others": others}
        action = read_action(sent["action"], self.label_set)
        try:
            state = book.edit(action, revision=revision, digest=digest)
        except ConflictError as conflict:
            record = self._record(name, conflict.state)
            return HTTPStatus.CONFLICT, {**record, "others": others, "said": str(conflict)}
        return HTTPStatus.OK, {**self._record(name, state), "others": others}

    def _book(self, name: str) -> LabelBook:
        """The book of a match. Raises BallspotError where its labels cannot be corrected."""
        with self.mutex:
            if name not in self.books:
                path = self.matches[name].labels_at
                if path is None:
                    raise BallspotError(
                        f"match {name!r} has no folder among the data: give its data root, or its video"
                    )
                self.books[name] = LabelBook(path, self.label_set, match=name, root=self.root or path.parent)
            return self.books[name]

    def _others(self, name: str, client: str) -> int:
        """How many other pages have looked at a match just now."""
        now = time.monotonic()
        with self.mutex:
            seen = {one: at for one, at in self.clients[name].items() if now - at < SEEN_WITHIN_S}
            if len(seen) < MOST_CLIENTS or client in seen:
                seen[client] = now
            self.clients[name] = seen
            return len(set(seen) - {client})

    def _record(self, name: str, state: BookState) -> dict[str, Any]:
        columns = columns_of(state.spots)
        known = columns.label_index(self.label_set) >= 0
        return {
            "revision": state.revision,
            "digest": state.digest,
            "n_labels": len(self.label_set),
            "truth": columns_record(columns, self.label_set),
            "entry": [place for place, is_known in enumerate(known.tolist()) if is_known],
            "n_unknown": int((~known).sum()),
            "notes": {
                place: one["note"] for place, one in enumerate(state.entries) if isinstance(one.get("note"), str)
            },
            "rejected": [
                [place, one.half, one.position_ms]
                for one in state.rejected
                if (place := self.label_set.place(one.label)) is not None
            ],
            "watched": [[one.half, one.from_ms, one.to_ms] for one in state.watched],
            "undo": state.undoes,
            "redo": state.redoes,
            "remark": state.remark,
            "file": self.books[name].path.name,
        }
