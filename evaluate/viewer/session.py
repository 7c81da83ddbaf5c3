"""One sitting with the page: what it shows, may write and learns; all of it can change while the page is open."""

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

from ...cache.errors import BallspotError
from ...cache.runs import following_run
from ..dataset import DataSelection, add_label, brief, is_text
from .desk import EditDesk
from .guard import Write
from .server import ViewServer, resources_of
from .training import Trainer, learned_lines
from .view import View, find_view, open_sides


@dataclass
class Session:
    """What `ballspot view --edit` has at hand, and how the page is given what came of learning, or a new class.

    ``run`` is the run that learning begins with, None where there is none to. ``labels`` is what --labels said; where
    that is a file, classes can be added to it.
    """

    shown: View
    selection: DataSelection
    desk: EditDesk
    run: Path | None = None
    labels: str | None = None
    server: ViewServer | None = None
    mutex: threading.Lock = field(default_factory=threading.Lock)
    trainer: Trainer | None = None

    def writes(self) -> Mapping[str, Write]:
        """What can be asked for beside edits, by its address."""
        table: dict[str, Write] = {}
        if self.run is not None:
            options = ["--data", str(self.selection.data_root)]
            options += ["--labels", self.labels] if self.labels else []
            options += ["--labels-file", self.selection.labels_file] if self.selection.labels_file else []
            for match in self.shown.matches:
                options += ["--also", match.name]
            self.trainer = Trainer(self.run, place_of=following_run, options=options, on_done=self.swap_in)
            self.desk.extra["learns"] = f"/learn/{secrets.token_hex(8)}"
            table[self.desk.extra["learns"]] = self.trainer.answer
        if self.labels is not None and Path(self.labels).is_file():
            self.desk.extra["adds"] = f"/class/{secrets.token_hex(8)}"
            table[self.desk.extra["adds"]] = self.add_class
        return table

    def swap_in(self, run: Path) -> None:
        """Shows the spots of before and after, A and B, in place of those that the page had."""
        with self.mutex:
            sides = open_sides([run / "before", run / "predictions" / "all"], split=None)
            names = [match.name for match in self.shown.matches]
            self.shown = find_view(sides, self.selection, names, fps=self.shown.fps)
            self.desk.extra["learned"] = learned_lines(run)
            self._renew()

    def add_class(self, sent: Any) -> tuple[HTTPStatus, Any]:
        """Adds a class to the end of the label set's file, ``{"label": "CORNER"}``; the page has it from then on."""
        if not isinstance(sent, dict) or set(sent) != {"label"} or not is_text(sent["label"]):
            raise BallspotError(f"class: expected an object with a text label, not {brief(sent)}")
        with self.mutex:
            label_set = add_label(Path(self.labels or ""), sent["label"].strip())
            self.selection = replace(self.selection, label_set=label_set)
            self.shown = replace(self.shown, label_set=label_set)
            self.desk.label_set = label_set
            self._renew()
        return HTTPStatus.OK, {"labels": list(label_set.labels)}

    def stop(self) -> None:
        """Ends what is still at work."""
        if self.trainer is not None:
            self.trainer.stop()

    def _renew(self) -> None:
        """Gives the page what is shown now; the addresses of before stay, for windows that are open at them."""
        if self.server is not None:
            self.server.resources = {**self.server.resources, **resources_of(self.shown, self.desk)}
