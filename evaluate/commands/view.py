"""The command `ballspot view`."""

import threading
import webbrowser
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ...cache.errors import BallspotError
from ...cache.terminal import (
    FOLDER,
    command,
    data_option,
    labels_file_option,
    labels_of_run_option,
    note,
    split_of_option,
    splits_option,
)
from ..dataset import (
    VIDEO_SUFFIXES,
    DataSelection,
    LooseVideos,
    given_predictions,
    label_set_for,
    recorded_threshold,
    split_remark,
    videos_selection,
)
from ..scoring import OFFICIAL_FPS, Protocol
from ..viewer import EditDesk, Session, View, ViewServer, find_view, resources_of, sides_of


@command()
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
@click.option(
    "--fps",
    type=float,
    default=OFFICIAL_FPS,
    show_default=True,
    help="Frames per second at which predictions are matched.",
)
@labels_file_option
@click.option("--edit", "edits", is_flag=True, help="Correct the labels of --data, or of each VIDEO, in the page.")
@click.option(
    "--queue",
    "queue_file",
    type=FOLDER,
    help="Questions from `ballspot queue`, with --edit; the key f goes from one to the next.",
)
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
    """Look at mistakes on the video, and correct labels.

    PREDICTIONS is a folder or zip file with <match>/results_spotting.json. For a RUN, its own predictions are shown.
    Two of them are shown side by side. With --data or a VIDEO alone, the labels are shown. Prints the address of the
    page, which only this machine can reach, and serves it until Ctrl-C.

    Nothing is written without --edit. With it, you make, move and remove labels in the page. Every step is on the
    disk at once, and every step can be undone.

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
    if videos and data_root is not None:
        raise click.UsageError(f"{videos[0]} has its labels beside it: leave out --data, or the video")
    if queue_file is not None and not edits:
        raise click.UsageError("--queue asks for answers: give --edit, too")
    given = given_predictions(predictions, split)
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
    shown = find_view(sides_of(given), selection, names, fps=Protocol(fps=fps).fps, wanted=wanted)
    recorded = recorded_threshold(given[0]) if given else None
    if recorded is not None:
        shown = replace(shown, threshold=recorded.value)
        note(f"note: {recorded.remark()}")
    of_run = split_remark(given, split)
    if of_run is not None:
        note(f"note: {of_run}")
    session = None
    if edits:
        desk = EditDesk(shown, None if videos else data_root, extra=queue_facts(queue_file, shown))
        run = given[0].run if len(given) == 1 and data_root is not None else None
        session = Session(shown, selection, desk, run, labels)
    serve(shown, session, port=port, opens=opens)


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


def serve(shown: View, session: Session | None, *, port: int, opens: bool) -> None:
    """Serves the page until Ctrl-C."""
    desk = None if session is None else session.desk
    writes = None if session is None else session.desk.writes(session.writes())
    with ViewServer(resources_of(shown, desk), port=port, writes=writes) as server:
        if session is not None:
            session.server = server
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
            if session is not None:
                session.stop()
