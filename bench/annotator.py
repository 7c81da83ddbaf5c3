"""A simulated annotator: what answers to the queue are worth beside answers in random order and match by match.

    python bench/annotator.py FEATURES DATA [DATA ...] --seeds 0 1 2 3 4 --work annotator

The first training match is known from the start. The other training matches are the pool: their labels are hidden, and
answers bring them back. An answer is one decision, given by the truth: a proposed spot is accepted (at the true time),
given its true class, or rejected. Who decides on it has looked at the half second before and after it, as `learn`
takes it, and adds what else happens there, each event an answer. The events of a stretch are added, each an answer, and
the stretch counts as watched; one without any costs one answer, too. After every round of answers `ballspot learn`
makes a new head from the old one, which is scored on the test matches, of which nobody is ever asked. Three ways of
asking get the same number of answers a round:

- queue: the questions of `ballspot queue`, best first, by that head, with `--heads 2` and a second seed beside it;
- random: the questions that the first head alone gives, in random order;
- match by match: the events of one match after the other, in order of time; what lies before the last of them counts as
  watched, and a match that is finished as a whole.

Prints a Markdown table: AP (tight, mean of the classes with at least ten test events) against the share of all hidden
labels that the answers amount to; "all" is a head that learned from every hidden label. Below it stand the share at
which each way first reaches 90 % of the AP of "all" and of what "all" gains over the start, and the paired difference
of the means of the curves, with a t interval over seeds.
"""

import argparse
import json
import math
import random
import shutil
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from scipy.stats import t as student

from ballspot.cli import main as ballspot
from ballspot.evaluate.dataset import (
    MAX_POSITION_MS,
    DataSelection,
    Spot,
    load_label_set,
    open_predictions,
    read_labels,
)
from ballspot.evaluate.editing import Accept, Action, Add, LabelBook, Reject, Watch, decisions_beside
from ballspot.evaluate.queue import Budget, Head, Known, Question, find_questions, ranked, rarity
from ballspot.evaluate.results import evaluate_predictions
from ballspot.evaluate.uncertainty import Bootstrap
from ballspot.temporal.api import train
from ballspot.temporal.learning import LearnPlan, learn

NEAR_MS = 500
EVENT_S = 5.0  # what it takes to decide on a spot, as the queue reckons
WAYS = ("queue", "random", "match by match")
LABELS = load_label_set("ball-12")
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Truth:
    """The joint data: where each match's labels are, and which matches are known, pool, validation and test."""

    labels: dict[str, tuple[Spot, ...]]
    files: dict[str, Path]
    known: tuple[str, ...]
    pool: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def n_hidden(self) -> int:
        """How many labels the pool has."""
        return sum(len(self.labels[name]) for name in self.pool)


def read_truth(roots: Sequence[Path]) -> Truth:
    """The matches of several data roots as one; of the training matches the first one is known."""
    files, parts = {}, {"train": [], "valid": [], "test": []}
    for root in roots:
        data = DataSelection(root, LABELS, one_video=True)
        files |= {name: match.labels_path for name, match in data.matches.items()}
        for part, names in tomllib.loads((root / "splits.toml").read_text()).items():
            parts[part] += names
    labels = {name: distinct(read_labels(path, LABELS)) for name, path in files.items()}
    first, *pool = parts["train"]
    return Truth(labels, files, (first,), tuple(pool), tuple(parts["valid"]), tuple(parts["test"]))


def distinct(spots: Sequence[Spot]) -> tuple[Spot, ...]:
    """The events of a match, those of one class at one time once, as the page takes them."""
    return tuple({(one.label, one.position_ms): one for one in spots}.values())


def make_root(root: Path, truth: Truth) -> Path:
    """A data root with the labels of all matches but those of the pool, which have a folder alone."""
    for name in (*truth.known, *truth.pool, *truth.valid, *truth.test):
        (root / name).mkdir(parents=True)
        if name in truth.pool:  # a match without labels is known by its video
            video = next(one for one in truth.files[name].parent.iterdir() if one.suffix == ".mp4")
            (root / name / video.name).symlink_to(video.resolve())
        else:
            shutil.copy(truth.files[name], root / name / "Labels-ball.json")
    parts = {"train": truth.known, "valid": truth.valid, "test": (*truth.test, *truth.pool)}  # what is corrected moves
    (root / "splits.toml").write_text("".join(f"{part} = {json.dumps(names)}\n" for part, names in parts.items()))
    return root


@dataclass
class Annotator:
    """Answers from the truth, and writes them as the page does."""

    root: Path
    truth: Truth
    answers: int = 0
    seconds: float = 0.0
    n_rejected: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    watched_to: dict[str, int] = field(default_factory=dict)

    def book(self, match: str) -> LabelBook:
        """The label file of a match under correction."""
        return LabelBook(self.root / match / "Labels-ball.json", LABELS, match=match, root=self.root)

    def open_events(self, match: str) -> list[Spot]:
        """The true events that have no label yet."""
        path = self.root / match / "Labels-ball.json"
        made = (
            Counter((one.label, one.position_ms) for one in read_labels(path, LABELS)) if path.exists() else Counter()
        )
        return [one for one in self.truth.labels[match] if not made[(one.label, one.position_ms)]]

    def write(self, match: str, actions: Sequence[Action], *, cost: int) -> None:
        """Does the actions, one after the other; they count as ``cost`` answers."""
        book = self.book(match)
        self.n_rejected += sum(isinstance(one, Reject) for one in actions)
        self.asked.update(one.label for one in actions if isinstance(one, Add | Accept))
        for action in actions:
            book.edit(action, revision=book.state().revision)
        self.answers += cost

    def answer(self, question: Question) -> None:
        """Answers one question of the queue."""
        left = self.open_events(question.match)
        actions: list[Action]
        if question.end_ms is not None:
            inside = [one for one in left if question.position_ms <= one.position_ms < question.end_ms]
            actions = [Add(one.label, one.position_ms, team=one.team) for one in inside]
            actions.append(Watch(question.position_ms, question.end_ms))
            self.seconds += (question.end_ms - question.position_ms) / 1000 + EVENT_S * len(inside)
            self.write(question.match, actions, cost=max(len(inside), 1))
            return
        near = [one for one in left if abs(one.position_ms - question.position_ms) <= NEAR_MS]
        near.sort(key=lambda one: (one.label != question.label, abs(one.position_ms - question.position_ms)))
        actions = [Accept(one.label, one.position_ms, team=one.team) for one in near]
        if not near or near[0].label != question.label:
            actions.append(Reject(str(question.label), question.position_ms))
        self.seconds += EVENT_S * max(len(near), 1)
        self.write(question.match, actions, cost=max(len(near), 1))

    def label_next(self, match: str, most: int) -> None:
        """Labels the next events of a match in order of time; it is watched up to the last of them, or to its end."""
        left = self.open_events(match)
        if not left:
            return
        watched = self.watched_to.get(match, 0)
        self.watched_to[match] = left[min(most, len(left)) - 1].position_ms + 1
        self.seconds += (self.watched_to[match] - watched) / 1000 + EVENT_S * min(most, len(left))
        end_ms = MAX_POSITION_MS if len(left) <= most else left[most - 1].position_ms + 1
        actions: list[Action] = [Add(one.label, one.position_ms, team=one.team) for one in left[:most]]
        self.write(match, [*actions, Watch(0, end_ms)], cost=len(left[:most]))


@dataclass(frozen=True)
class Setup:
    """What every round needs: stored features, the truth, and how many answers a round brings."""

    features: Path
    truth: Truth
    shares: tuple[float, ...]
    epochs: int
    settings: Mapping[str, object]
    n_heads: int = 1

    def answers(self, share: float) -> int:
        """So many answers make a share of the hidden labels."""
        return math.ceil(share * self.truth.n_hidden)


def heads_of(runs: Sequence[Path]) -> list[Head]:
    """The predictions of all matches of the pool by each run."""
    return [Head(run.name, open_predictions(run / "predictions" / "all")) for run in runs]


def known_of(annotator: Annotator, match: str) -> Known:
    """What is decided of a match."""
    path = annotator.root / match / "Labels-ball.json"
    own = tuple(read_labels(path, LABELS)) if path.exists() else ()
    said = decisions_beside(path.resolve())
    rejected = tuple((one.label, one.half, one.position_ms) for one in said.rejected)
    return Known(own, rejected, tuple((one.half, one.from_ms, one.to_ms) for one in said.watched))


def questions_of(annotator: Annotator, runs: Sequence[Path], setup: Setup) -> list[Question]:
    """All questions about the pool, as `ballspot queue` finds them."""
    heads, known = heads_of(runs), {name: known_of(annotator, name) for name in setup.truth.pool}
    counts = Counter(one.label for own in known.values() for one in own.labels)
    counts.update(one.label for name in setup.truth.known for one in setup.truth.labels[name])
    weights = rarity(counts, LABELS)
    return [one for name in setup.truth.pool for one in find_questions(heads, name, known[name], weights)]


def ask(way: str, annotator: Annotator, runs: Sequence[Path], setup: Setup, until: int, chance: random.Random) -> None:
    """One round of answers, in one of the three ways, until there are so many."""
    if way == "match by match":
        for name in setup.truth.pool:
            if annotator.answers < until:
                annotator.label_next(name, until - annotator.answers)
        return
    questions = questions_of(annotator, runs, setup)
    ordered = ranked(questions, Budget()) if way == "queue" else chance.sample(questions, len(questions))
    watched: list[Question] = []  # spots in them are decided
    for one in ordered:
        if annotator.answers >= until:
            break
        if any(one.match == two.match and two.position_ms <= one.position_ms < (two.end_ms or 0) for two in watched):
            continue
        annotator.answer(one)
        if one.end_ms is not None:
            watched.append(one)


def score(run: Path, root: Path, truth: Truth) -> float:
    """AP in % of the classes with ten test events, by the run's spots of the test matches."""
    data = DataSelection(root, LABELS)
    found = evaluate_predictions(run / "predictions" / "all", data, truth.test, bootstrap=Bootstrap(0)).result
    frequent = found.n_truth >= 10  # as the tables of `evaluate` call a class frequent
    return 100 * float(found.ap[frequent].mean())


def turn(runs: Sequence[Path], out: Path, root: Path, setup: Setup) -> list[Path]:
    """New heads from the old ones on the labels as they are now."""
    made = []
    for seed, run in enumerate(runs):
        new = out / f"head-{seed}"
        also = (*setup.truth.pool, *setup.truth.test)
        learn(LearnPlan(run, root, new, (setup.features,), n_epochs=setup.epochs, seed=seed, also=also), CPU)
        made.append(new)
    return made


def curve(way: str, seed: int, work: Path, base: Sequence[Path], setup: Setup) -> list[float]:
    """AP after each round."""
    folder = work / way.replace(" ", "-")
    shutil.rmtree(folder, ignore_errors=True)
    annotator = Annotator(make_root(folder / "data", setup.truth), setup.truth)
    chance, runs, found = random.Random(seed), list(base if way == "queue" else base[:1]), []
    for share in setup.shares:
        ask(way, annotator, runs, setup, setup.answers(share), chance)
        runs = turn(runs, folder / f"round-{share}", annotator.root, setup)
        found.append(score(runs[0], annotator.root, setup.truth))
        said = f"{annotator.answers} answers, {annotator.n_rejected} rejections, {annotator.seconds:.0f} s"
        say(f"seed {seed}, {way}: {said}, AP {found[-1]:.2f}")
    return found


def first_heads(seed: int, work: Path, setup: Setup) -> list[Path]:
    """Heads that learned from the known match alone, with their spots of all matches."""
    base = [work / f"base-{head}" for head in range(setup.n_heads)]
    if (work / "data").exists():
        return base  # they were made before
    shutil.rmtree(work / "making", ignore_errors=True)
    root = make_root(work / "making" / "data", setup.truth)
    for head, run in enumerate(base):
        train(setup.features, root, run, preset="fast", settings=setup.settings, seed=setup.n_heads * seed + head)
        words = ["predict", run, setup.features, "--data", root, "--split", "all"]
        ballspot([str(word) for word in words], standalone_mode=False)
    shutil.move(root, work / "data")
    return base


def learned_whole(work: Path, base: Sequence[Path], setup: Setup) -> float:
    """AP of a head that learned from every hidden label."""
    shutil.rmtree(work / "all", ignore_errors=True)
    whole = Annotator(make_root(work / "all" / "data", setup.truth), setup.truth)
    for name in setup.truth.pool:
        whole.label_next(name, len(setup.truth.labels[name]))
    runs = base[:1]
    for number in range(3):  # as many turns as let it settle
        runs = turn(runs, work / "all" / f"round-{number}", whole.root, setup)
    return score(runs[0], whole.root, setup.truth)


def one_seed(seed: int, work: Path, setup: Setup, found: dict[str, list[float]], ways: Sequence[str]) -> Iterator[None]:
    """Fills in the curves that are missing, with the same first heads; stops after each, so that it can be written."""
    base = first_heads(seed, work, setup)
    if "all" not in found:
        found["start"] = [score(base[0], work / "data", setup.truth)]
        found["all"] = [learned_whole(work, base, setup)]
        say(f"seed {seed}: start {found['start'][0]:.2f}, all {found['all'][0]:.2f}")
        yield
    for way in ways:
        if way not in found:
            found[way] = curve(way, seed, work, base, setup)
            yield


def say(line: str) -> None:
    """Prints a line at once."""
    print(line, flush=True)


def report(seeds: Sequence[dict[str, list[float]]], shares: Sequence[float]) -> str:
    """The table, the shares at which 90 % is reached, and the paired differences."""
    start, whole = (np.mean([one[key][0] for one in seeds]) for key in ("start", "all"))
    lines = [
        f"AP % at the start {start:.1f}, with every hidden label {whole:.1f}; {len(seeds)} seeds", "",
        f"| answers, share of hidden labels | {' | '.join(f'{100 * one:.0f} %' for one in shares)} |",
        f"|---|{'---|' * len(shares)}",
    ]  # fmt: skip
    means = {way: np.mean([one[way] for one in seeds], axis=0) for way in WAYS}
    lines += [f"| {way} | {' | '.join(f'{ap:.1f}' for ap in mean)} |" for way, mean in means.items()]
    lines.append("")
    for way, mean in means.items():
        for what, bar in (("of the AP", 0.9 * whole), ("of the gain", start + 0.9 * (whole - start))):
            reached = [share for share, ap in zip(shares, mean, strict=True) if ap >= bar]
            lines.append(
                f"{way}: 90 % {what} of all labels at {f'{100 * reached[0]:.0f} %' if reached else 'no share'}"
            )
    for other in WAYS[1:]:
        gaps = np.array([np.mean(one["queue"]) - np.mean(one[other]) for one in seeds])
        half = student.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / np.sqrt(len(gaps)) if len(gaps) > 1 else np.nan
        mean = gaps.mean()
        lines.append(f"queue - {other}, mean over the curve: {mean:+.2f} ({mean - half:.2f} .. {mean + half:.2f})")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.2, 0.3, 0.4, 0.6, 0.8],
                        help="a round ends where the answers are such a share of the hidden labels")  # fmt: skip
    parser.add_argument("--epochs", type=int, default=3, help="passes of a turn of `learn`")
    parser.add_argument("--heads", type=int, default=1, help="heads that the queue asks")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=NUMBER", help="as of `ballspot train`")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--work", type=Path, required=True, help="a folder for runs and curves; those it has are kept")
    options = parser.parse_args()
    settings = {key: int(value) for key, _, value in (one.partition("=") for one in options.set)}
    truth = read_truth(options.data)
    setup = Setup(options.features.resolve(), truth, tuple(options.shares), options.epochs, settings, options.heads)
    done = []
    for seed in options.seeds:
        path = options.work / f"seed-{seed}" / "curves.json"
        found = json.loads(path.read_text()) if path.exists() else {}
        for _ in one_seed(seed, path.parent, setup, found, options.ways):
            path.write_text(json.dumps(found))
        done.append(found)
    if all({"all", *WAYS} <= set(found) for found in done):
        print(report(done, setup.shares))


if __name__ == "__main__":
    main()
