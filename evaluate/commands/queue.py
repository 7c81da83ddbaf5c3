"""The command `ballspot queue`."""

from collections import Counter
from pathlib import Path

import click

from ...cache.errors import BallspotError
from ...cache.runs import seed_folders
from ...cache.terminal import (
    FOLDER,
    FiniteRange,
    command,
    data_option,
    labels_file_option,
    labels_of_run_option,
    print_table,
    split_of_option,
    splits_option,
)
from ..dataset import DataSelection, given_predictions, label_set_for, read_labels, resolve_match


@command()
@click.argument("paths", type=FOLDER, nargs=-1, required=True, metavar="RUN|PREDICTIONS...")
@data_option("Data root whose labels are to be made or corrected.")
@split_of_option("Matches to ask about.")
@splits_option()
@click.option("--match", "wanted", multiple=True, metavar="NAME", help="Only this match; repeatable.")
@labels_of_run_option
@labels_file_option
@click.option(
    "--spots",
    "n_spots",
    type=click.IntRange(min=1),
    help="Ask about at most this many spots; a stretch counts as those it is likely to hold.  "
    "[default: 100 without --minutes]",
)
@click.option("--minutes", type=FiniteRange(0.1, 10_000), help="Ask what can be answered in this many minutes.")
@click.option(
    "--out", type=FOLDER, required=True, help="File for the questions, which `ballspot view --edit --queue` takes."
)
def queue(
    paths: tuple[Path, ...],
    data_root: Path,
    split: str | None,
    splits_file: Path | None,
    wanted: tuple[str, ...],
    labels: str | None,
    labels_file: str | None,
    n_spots: int | None,
    minutes: float | None,
    out: Path,
) -> None:
    """Choose what to ask an annotator, best first.

    RUN is a run or the folder of several seeds, and PREDICTIONS are those of any system. The more of them you give,
    the better their disagreement shows.

    Each question is about a spot, or about a stretch of video that you watch and label whole, and says in one word
    why it is asked: disagreement of the heads, doubt, a rare class, or coverage. Spots that have a label, were
    rejected or were watched are not asked about.

    \b
    ballspot queue runs/best --data DATA --split all --minutes 20 --out queue.json
    ballspot view runs/best --data DATA --edit --queue queue.json
    """
    from ..editing import Decisions, decisions_beside
    from ..queue import Budget, Head, Known, Queue, check_heads, find_questions, ranked, rarity, write_queue

    if out.exists():
        raise BallspotError(f"{out}: already exists; choose another --out")
    seeds = [seed for path in paths for seed in seed_folders(path)]
    given = given_predictions(seeds, split)
    data = DataSelection(data_root, label_set_for(given, labels), splits_file, None, labels_file)
    matches = data.matches
    heads = [Head(str(one.argument), one.opened().among(matches)) for one in given]
    known = {}
    for name, match in matches.items():
        own = () if match.labels_path is None else read_labels(match.labels_path, data.label_set)
        at = data.labels_at(match)  # what was decided stands beside it, also where no label was made yet
        said = Decisions() if at is None else decisions_beside(at.resolve())
        rejected = tuple((one.label, one.half, one.position_ms) for one in said.rejected)
        watched = tuple((one.half, one.from_ms, one.to_ms) for one in said.watched)
        known[name] = Known(own, rejected, watched)
    chosen = [resolve_match(one, list(matches), which="to ask about") for one in wanted]
    of_runs = splits_file is None and all(one.run is not None for one in given)
    part = list(matches) if of_runs else list(data.part(split or "all") or matches)
    names = check_heads(heads, chosen or part)
    weights = rarity(Counter(one.label for own in known.values() for one in own.labels), data.label_set)
    questions = [one for name in names for one in find_questions(heads, name, known[name], weights)]
    budget = Budget(100 if n_spots is None and minutes is None else n_spots, minutes)
    asked = ranked(questions, budget)
    write_queue(out, Queue(tuple(asked), tuple(head.name for head in heads)))
    counts = Counter((one.why, one.label or "a stretch") for one in asked)
    print_table(["why", "of", "questions"], [[why, label, str(n)] for (why, label), n in counts.most_common()])
    seconds = sum(one.cost_s for one in asked)
    click.echo(f"{out}: {len(asked)} of {len(questions)} questions, about {seconds / 60:.0f} minutes of answering")
