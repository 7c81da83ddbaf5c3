"""The command `ballspot view`."""

import threading
import webbrowser
from dataclasses import replace
from pathlib import Path

import click

from ...cache.terminal import FOLDER, data_option, labels_of_run_option, note, split_of_option, splits_option
from ..dataset import given_predictions, label_set_for, recorded_threshold, split_remark, videos_selection
from ..scoring import OFFICIAL_FPS, Protocol
from ..viewer import find_view, sides_of


@click.command()
@click.argument("predictions", type=FOLDER, nargs=-1, required=True, metavar="PREDICTIONS|RUN [PREDICTIONS|RUN]")
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
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="Port at 127.0.0.1; 0 takes a free one."
)
@click.option("--open/--no-open", "opens", default=True, show_default=True, help="Open the page in the browser.")
def view(
    predictions: tuple[Path, ...],
    data_root: Path | None,
    split: str | None,
    splits_file: Path | None,
    wanted: tuple[str, ...],
    labels: str | None,
    fps: float,
    labels_file: str | None,
    port: int,
    opens: bool,
) -> None:
    """Look at mistakes on the video, in the browser.

    PREDICTIONS is a folder or zip file with <match>/results_spotting.json; of a RUN its own predictions are shown. Two
    of them are shown side by side. Prints the address of the page, which only this machine can reach, and serves it
    until Ctrl-C.

    \b
    ballspot view runs/first
    ballspot view runs/first theirs.zip --match match-07
    """
    if len(predictions) > 2:
        raise click.UsageError(f"one or two sets of predictions can be shown, not {len(predictions)}")
    protocol = Protocol(fps=fps)
    given = given_predictions(predictions, split)
    sides = sides_of(given)
    selection = videos_selection(
        given, data_root, label_set=label_set_for(given, labels), splits_file=splits_file, labels_file=labels_file
    )
    of_runs = splits_file is None and all(one.run is not None for one in given)
    names = None if of_runs else selection.part(split or "all")
    shown = find_view(sides, selection, names, fps=protocol.fps, wanted=wanted)
    recorded = recorded_threshold(given[0])
    if recorded is not None:
        shown = replace(shown, threshold=recorded.value)
        note(f"note: {recorded.remark()}")
    of_run = split_remark(given, split)
    if of_run is not None:
        note(f"note: {of_run}")
    from ..viewer import ViewServer, resources_of

    with ViewServer(resources_of(shown), port=port) as server:
        click.echo(server.url)
        n_matches = len(shown.matches)
        note(f"{n_matches} match{'' if n_matches == 1 else 'es'}; Ctrl-C ends")
        if opens:
            threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            note("ended")
