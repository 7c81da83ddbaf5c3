"""The command `ballspot view`."""

import secrets
import threading
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ...cache.errors import BallspotError
from ...cache.runs import following_run
from ...cache.terminal import FOLDER, data_option, labels_of_run_option, note, split_of_option, splits_option
from ..dataset import (
    VIDEO_SUFFIXES,
    DataSelection,
    LooseVideos,
    given_predictions,
    label_set_for,
    split_remark,
    videos_selection,
)
from ..scoring import OFFICIAL_FPS, Protocol
from ..viewer import (
    EditDesk,
    Trainer,
    View,
    ViewServer,
    find_view,
    learned_lines,
    open_sides,
    resources_of,
    sides_of,
)


@click.command()
@click.argument("paths", type=FOLDER, nargs=-1, metavar="[PREDICTIONS|RUN|VIDEO]...")
@data_option(
    "Data root with labels and videos.  [default: the one a RUN was trained on, or the videos that were predicted]",
    required=False,
)
@split_of_option("Matches to show.")
@splits_option()
@click.option(
    "--match", "wanted", multiple=True, metavar="NAME", help="Only this match, by name or last folder; repeatable."
)
@labels_of_run_option
@click.option("--fps", type=float, default=OFFICIAL_FPS, show_default=True, help="Frames per second to match at.")
@click.option(
    "--labels-file",
    metavar="NAME",
    help="Name of the label file in each match folder.  [default: what --labels says, else Labels-ball.json]",
)
@click.option("--edit", "edits", is_flag=True, help="Correct the labels of --data, or of each VIDEO, in the page.")
@click.option("--queue", "queue_file", type=FOLDER, help="Questions of `ballspot queue`, which f walks; with --edit.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="Port at 127.0.0.1; 0 takes a free one."
)
@click.option("--open/--no-open", "opens", default=True, show_default=True, help="Open the page in the browser.")
def view(
    paths: tuple[Path, ...],
    data_root: Path | None,
    split: str | None,
    splits_file: Path | None,
    wanted: tuple[str, ...],
    labels: str | None,
    fps: float,
    labels_file: str | None,
    edits: bool,
    queue_file: Path | None,
    port: int,
    opens: bool,
) -> None:
    """Look at mistakes on the video, in the browser, and correct labels.

    PREDICTIONS is a folder or zip file with <match>/results_spotting.json; of a RUN its own predictions are shown. Two
    of them are shown side by side; with --data or a VIDEO alone, the labels. Prints the address of the page, which only
    this machine can reach, and serves it until Ctrl-C.

    Nothing is written without --edit. With it, labels are made, moved and removed in the page; every step is on the
    disk at once, and undo goes back to the first.

    \b
    ballspot view runs/first
    ballspot view runs/first theirs.zip --match match-07
    ballspot view runs/first --data DATA --edit
    ballspot view my-match.mp4 --edit
    """
    videos = [path for path in paths if path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir()]
    predictions = [path for path in paths if path not in videos]
    if len(predictions) > 2:
        raise click.UsageError(f"one or two sets of predictions can be shown, not {len(predictions)}")
    if not paths and data_root is None:
        raise click.UsageError("give predictions, a run, a video, or --data")
    if edits and data_root is None and not videos:
        raise click.UsageError("--edit writes labels: name their data root with --data, or give their videos")
    if queue_file is not None and not edits:
        raise click.UsageError("--queue asks for answers: give --edit, too")
    protocol = Protocol(fps=fps)
    given = given_predictions(predictions, split)
    sides = sides_of(given)
    label_set = label_set_for(given, labels)
    if videos:
        selection: DataSelection = LooseVideos.of(videos, label_set, labels_file)
        names = tuple(selection.matches)
    else:
        selection = videos_selection(
            given, data_root, label_set=label_set, splits_file=splits_file, labels_file=labels_file
        )
        of_runs = bool(given) and splits_file is None and all(one.run is not None for one in given)
        names = None if of_runs else selection.part(split or "all")
    shown = find_view(sides, selection, names, fps=protocol.fps, wanted=wanted)
    of_run = split_remark(given, split)
    if of_run is not None:
        note(f"note: {of_run}")
    desk = None
    if edits:
        desk = EditDesk(shown, None if videos else data_root, extra=queue_facts(queue_file, shown))
    turns = None
    if desk is not None and data_root is not None and len(given) == 1 and given[0].run is not None:
        turns = Turns(given[0].run, selection, shown, desk, labels)
    serve(shown, desk, turns, port=port, opens=opens)


@dataclass
class Turns:
    """Learning from the page: how a turn is made, and how the page is given what came of it."""

    run: Path
    selection: DataSelection
    shown: View
    desk: EditDesk
    labels: str | None
    server: ViewServer | None = None

    def trainer(self) -> Trainer:
        """What `ballspot learn` is run by, with the data root and the matches of this page."""
        options = ["--data", str(self.selection.data_root)]
        options += ["--labels", self.labels] if self.labels else []
        for match in self.shown.matches:
            options += ["--also", match.name]
        return Trainer(self.run, place_of=following_run, options=options, on_done=self.swap_in)

    def swap_in(self, run: Path) -> None:
        """Shows the spots of before and after, A and B, in place of those that the page had."""
        sides = open_sides([run / "before", run / "predictions" / "all"], split=None)
        names = [match.name for match in self.shown.matches]
        view = find_view(sides, self.selection, names, fps=self.shown.fps)
        self.desk.extra["learned"] = learned_lines(run)
        if self.server is not None:
            self.server.resources = resources_of(view, self.desk)


def queue_facts(path: Path | None, shown: View) -> dict[str, Any]:
    """What the page is told of the queue in a file: the questions about matches that are shown."""
    from ..queue import read_queue

    if path is None:
        return {}
    queue, names = read_queue(path, shown.label_set), {match.name for match in shown.matches}
    asked = [one for one in queue.questions if one.match in names]
    if not asked:
        raise BallspotError(f"{path}: asks about none of the matches that are shown; give --split or --data of its own")
    return {
        "queue": [
            {
                "match": one.match,
                "half": one.half,
                "ms": one.position_ms,
                "end_ms": one.end_ms,
                "label": None if one.label is None else shown.label_set.index(one.label),
                "scores": [round(score, 3) for score in one.scores],
                "why": one.why,
            }
            for one in asked
        ]
    }


def serve(shown: View, desk: EditDesk | None, turns: Turns | None, *, port: int, opens: bool) -> None:
    """Serves the page until Ctrl-C."""
    trainer, more = None, {}
    if desk is not None and turns is not None:
        trainer, desk.learns = turns.trainer(), f"/learn/{secrets.token_hex(8)}"
        more = {desk.learns: trainer.answer}
    writes = None if desk is None else desk.writes(more)
    with ViewServer(resources_of(shown, desk), port=port, writes=writes) as server:
        if turns is not None:
            turns.server = server
        click.echo(server.url)
        n_matches = len(shown.matches)
        note(f"{n_matches} match{'' if n_matches == 1 else 'es'}; Ctrl-C ends")
        if opens:
            threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            note("ended")
        finally:
            if trainer is not None:
                trainer.stop()
