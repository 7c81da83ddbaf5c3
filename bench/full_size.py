"""Every command of stage two on data of the size of SN-BAS, and of twice and four times that: seconds and memory.

    python bench/full_size.py [--times 1 2 4] [--scale 1] [--out full-size.json]

Seven matches of 142,498 to 152,740 frames at 25 a second with the class counts of SN-BAS (that many times as many), as
a data root without videos and a feature set of 368 float16 numbers a frame that the package's own writer wrote: noise,
and around every event a bump of its class that a head can learn. Every command runs as a process of its own under
bench/measured.py, which says what is counted. JSON is written after every command; the Markdown is printed at the end.

At 1x every training draws an epoch of its preset, or a share of one. At every size `best` also trains two epochs of
`--clips` clips, of which the second is validated: its growth is that of loading, scaling and validating, and the first
epoch tells whether clips cost more where there are more matches. `--scale 0.01` takes a hundredth of everything, to try
it. Sizes already in the JSON stay there; without any `--times` the tables are printed from it. `--page docs/scale.md`
puts them into that page.
Peak of disk: 1.5 GB for 1x, 5.5 GB for 4x, removed in the end.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from scale import COUNTS, DIM, MATCHES

from ballspot.cache.disk.files import make_folder, write_json
from ballspot.cache.stores.layout import ORIGINAL, Block, StoreHeader
from ballspot.cache.stores.sets import store_path
from ballspot.cache.stores.spec import FeatureSpec
from ballspot.cache.stores.store import write_store
from ballspot.evaluate.dataset.labelsets import BALL_12
from ballspot.evaluate.dataset.matches import LABELS_FILE
from ballspot.extract.data_root.synth import DrawnEvent, label_document

FPS = Fraction(25)
PARTS = {"train": 4, "valid": 1, "test": 2}  # of every seven matches
NOISE_ROWS, WRITE_ROWS = 16_384, 4096
BUMP_FRAMES, BUMP_SD, BUMP = 15, 5.0, 1.5  # how far either side an event shows, and how much, in deviations of noise
TRAININGS: dict[str, tuple[str, ...]] = {
    "best": ("--preset", "best"),
    "original-fixed": ("--preset", "original-fixed"),
    "fast": ("--preset", "fast"),
    "best, head tcn": ("--preset", "best", "--head", "tcn"),
    "best, head transformer": ("--preset", "best", "--head", "transformer"),
    "best, head gru": ("--preset", "best", "--head", "gru"),
}
SWEEP = 'preset = "fast"\nseeds = {seeds}\n[set]\nn_epochs = 1\nwarmup_epochs = 0.2\nepoch_frames = {frames}\n' + (
    "[axes]\nlearning_rate = [5e-4, 1e-3]\n"
)
PCA_DIM = 128
BEGIN, END = "<!-- tables of bench/full_size.py -->", "<!-- end of the tables -->"


@dataclass(frozen=True)
class Place:
    """Where one size of the data lies, and its matches by part."""

    root: Path
    names: dict[str, list[str]]

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def features(self) -> Path:
        return self.root / "features" / "drawn"


@dataclass(frozen=True)
class Step:
    """One command: what it is called, its words, and where its results lie."""

    name: str
    words: tuple[Any, ...]
    out: Path | None = None
    clips: int = 0  # of an epoch that it trains


def write_data(root: Path, *, times: int, scale: float) -> Place:
    """Writes a data root and a feature set of seven matches, so many times, each of a share ``scale`` of its frames."""
    random = np.random.default_rng(0)
    noise = random.standard_normal((NOISE_ROWS, DIM), dtype=np.float32)
    shape = random.standard_normal((len(COUNTS), DIM)).astype(np.float32)
    shape /= np.linalg.norm(shape, axis=1, keepdims=True)
    place = Place(root, {part: [] for part in PARTS})
    lengths = [round(scale * n_frames) for n_frames in MATCHES]
    ends = np.cumsum(lengths)
    for group in range(times):
        counts = np.maximum(np.rint(scale * COUNTS).astype(int), 1)
        frames = np.sort(random.choice(ends[-1], counts.sum(), replace=False))  # of seven matches end to end
        labels = random.permutation(np.repeat(np.arange(len(COUNTS)), counts))
        for index, (n_frames, end) in enumerate(zip(lengths, ends, strict=True)):
            name = f"england_efl/2019-2020/match-{7 * group + index:03d}"
            part = [one for one, n in PARTS.items() for _ in range(n)][index]
            place.names[part].append(name)
            inside = (frames >= end - n_frames) & (frames < end)
            at, what = frames[inside] - (end - n_frames), labels[inside]
            teams = random.choice(["left", "right"], len(at))
            events = [
                DrawnEvent(int(one), BALL_12.labels[label], str(team))
                for one, label, team in zip(at, what, teams, strict=True)
            ]
            write_json(make_folder(place.data / name) / LABELS_FILE, label_document(name, events, FPS))
            rows = np.resize(np.roll(noise, int(random.integers(NOISE_ROWS)), axis=0), (n_frames, DIM))
            rows = with_bumps(rows, at, shape[what]).astype(np.float16)
            header = StoreHeader(name, FPS, n_frames, n_frames, DIM, FeatureSpec(backbone="drawn", stride=1))
            write_store(store_path(place.features, name), header=header, blocks=blocks(rows))
    splits = "".join(f"{part} = {json.dumps(names)}\n" for part, names in place.names.items())
    (place.data / "splits.toml").write_text(splits, encoding="utf-8")
    one = {"train": place.names["train"], "valid": place.names["valid"], "test": place.names["test"][:1]}
    text = "".join(f"{part} = {json.dumps(names)}\n" for part, names in one.items())
    (place.root / "one-match.toml").write_text(text, encoding="utf-8")
    return place


def with_bumps(rows: np.ndarray, at: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """Rows (n, D) with the shape (e, D) of each event added around its frame (e,), no two in one frame, in place."""
    for shift in range(-BUMP_FRAMES, BUMP_FRAMES + 1):
        inside = (at + shift >= 0) & (at + shift < len(rows))
        rows[at[inside] + shift] += BUMP * np.exp(-0.5 * (shift / BUMP_SD) ** 2) * shapes[inside]
    return rows


def blocks(rows: np.ndarray) -> Iterator[Block]:
    for start in range(0, len(rows), WRITE_ROWS):
        part = rows[start : start + WRITE_ROWS]
        yield Block(np.arange(start, start + len(part)), {ORIGINAL: part})


def clips_of(place: Place, words: Sequence[str], *, scale: float) -> int:
    """How many clips an epoch of a training draws on the training matches, as its preset says."""
    from ballspot.temporal.config.load import load_config
    from ballspot.temporal.features.resident import read_layout
    from ballspot.temporal.features.sources import open_source
    from ballspot.temporal.training.epoch import clips_an_epoch

    config = load_config(words[1])
    n_clips = clips_an_epoch(read_layout(open_source(place.features), place.names["train"]), config)
    return n_clips if config.training.epoch_frames == "auto" else max(round(scale * n_clips), 1)


def training(place: Place, name: str, *, called: str, clips: int, n_epochs: int) -> Step:
    """A training of so many epochs of so many clips; the last epoch alone is validated."""
    run = place.root / "runs" / called.replace(" ", "-")
    settings = {
        "n_epochs": n_epochs,
        "epoch_frames": 50 * clips,
        "validation_every_epochs": n_epochs,
        "warmup_epochs": 0.2,
    }
    sets = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    words = ("train", place.features, "--data", place.data, "--run", run, *TRAININGS[name], *sets)
    return Step(f"train {called}", words, run, clips)


def steps(place: Place, options: argparse.Namespace, *, times: int) -> Iterator[Step]:
    """The commands in their order, each of which finds what those before it left."""
    clips = max(round(options.scale * options.clips), 8)
    if times == 1:
        for name, words in TRAININGS.items():
            n_clips = round(options.epoch_share * clips_of(place, words, scale=options.scale))
            yield training(place, name, called=f"{name}, an epoch", clips=n_clips, n_epochs=1)
    kept = training(place, "best", called="best", clips=clips, n_epochs=2)
    yield kept
    root, data, sweep, run = place.root, ("--data", place.data), place.root / "sweep", kept.out
    (root / "sweep.toml").write_text(SWEEP.format(frames=50 * clips, seeds=options.seeds))
    n_runs = 2 * options.seeds
    yield Step(f"sweep, {n_runs} runs of fast, 2 jobs", ("sweep", root / "sweep.toml", place.features, *data,
                                                 "--out", sweep, "--jobs", 2))  # fmt: skip
    yield Step(f"compare, {n_runs} runs", ("compare", sweep))
    yield Step("compare --report", ("compare", sweep, "--report", root / "report.html"))
    one = ("--splits", root / "one-match.toml", "--split", "test", "--out", root / "one")
    yield Step("predict, one match", ("predict", run, place.features, *data, *one))
    quick = min(sweep.glob("*/seed-0"))
    every = ("predict", quick, place.features, *data, "--split", "all", "--out", root / "all")
    yield Step("predict, all matches, fast", every, root / "all")
    evaluate = ("evaluate", root / "all", *data, "--json")
    yield Step("evaluate, all matches", evaluate)
    yield Step("evaluate --diagnose", (*evaluate, "--diagnose"))
    yield Step("tune, validation matches", ("tune", run, *data))
    yield Step("cache verify", ("cache", "verify", place.features))
    yield Step(f"cache pca --dim {PCA_DIM}", ("cache", "pca", place.features, *data,
                                              "--dim", min(PCA_DIM, round(options.scale * MATCHES[0]))))  # fmt: skip


def measured(step: Step, folder: Path, n_threads: int) -> dict[str, Any]:
    """What a step took. Ends this program where the command fails."""
    out = folder / "measured.json"
    command = [sys.executable, "-m", "ballspot.cli", *map(str, step.words)]
    program = Path(__file__).with_name("measured.py")
    environment = {**os.environ, "OMP_NUM_THREADS": str(n_threads)}
    words = [sys.executable, program, out, *command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[2:])}\n{done.stderr[-2000:]}")
    return {"command": step.name, **json.loads(out.read_text()), **said(step, done.stdout)}


def said(step: Step, output: str) -> dict[str, Any]:
    """What a step's own files or words say of its work."""
    if step.words[0] == "train" and step.out is not None:
        epochs = [json.loads(line)["epoch_s"] for line in (step.out / "log.jsonl").read_text().splitlines()]
        metrics = json.loads((step.out / "metrics.json").read_text())
        return {"clips": step.clips, "epochs_s": epochs, "mean_ap": round(metrics["mean_ap"], 4)}
    if step.words[0] == "evaluate":
        record = json.loads(output)
        return {name: record[name] for name in ("mean_ap", "n_labels", "n_predictions")}
    if step.words[0] == "predict" and step.out is not None:
        return {"bytes": sum(path.stat().st_size for path in step.out.rglob("*") if path.is_file())}
    return {}


def exponent(times: Sequence[int], values: Sequence[float]) -> float:
    """a of value ~ times^a, by least squares in logarithms; NaN for fewer than two sizes."""
    return float(np.polyfit(np.log(times), np.log(values), 1)[0]) if len(times) > 1 else float("nan")


def exponent_beside_start(times: Sequence[int], values: Sequence[float]) -> float:
    """a of value ~ c + k x times^a, of three sizes, each as many times the one before; else NaN."""
    if len(times) < 3 or times[-1] * times[-3] != times[-2] ** 2:
        return float("nan")
    first, second = values[-2] - values[-3], values[-1] - values[-2]
    grows = min(first, second) > 0.05 * values[-1]  # else it is chance
    return float(np.log(second / first) / np.log(times[-1] / times[-2])) if grows else float("nan")


def tables(rows: Sequence[dict[str, Any]]) -> str:
    """Two Markdown tables: seconds and memory of every command by size, and the epochs of the trainings at 1x."""
    sizes = sorted({row["times"] for row in rows})
    by_name: dict[str, dict[int, dict[str, Any]]] = {}
    for row in rows:
        by_name.setdefault(row["command"], {})[row["times"]] = row
    at = ", ".join(f"{size}x" for size in sizes)
    lines = [
        f"| command | wall s, {at} | CPU s, {at} | a | a beside the start | largest MB, {at} | together MB, {at} | a |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, found in by_name.items():
        if "an epoch" in name:
            continue
        here = sorted(found)
        columns = {key: [found[size][key] for size in here] for key in ("wall_s", "cpu_s", "largest_mb", "together_mb")}
        cells = {key: ", ".join(f"{value:.1f}" if key.endswith("_s") else f"{value:.0f}" for value in values)
                 for key, values in columns.items()}  # fmt: skip
        growth = f"{exponent(here, columns['cpu_s']):.2f} | {exponent_beside_start(here, columns['cpu_s']):.2f}"
        lines.append(
            f"| {name} | {cells['wall_s']} | {cells['cpu_s']} | {growth} | "
            f"{cells['largest_mb']} | {cells['together_mb']} | {exponent(here, columns['together_mb']):.2f} |"
        )
    trained = {name: by_name.get(f"train {name}, an epoch", {}).get(1) for name in TRAININGS}
    if any(trained.values()):
        lines += [
            "",
            "| training, one validated epoch | clips | s | wall s, all | CPU s, all | largest MB | valid mAP@1 |",
        ]
        lines.append("|---|---|---|---|---|---|---|")
    for name, row in trained.items():
        if row is not None:
            lines.append(
                f"| {name} | {row['clips']:,} | {row['epochs_s'][0]:.1f} | {row['wall_s']:.1f} | {row['cpu_s']:.1f} | "
                f"{row['largest_mb']:.0f} | {100 * row['mean_ap']:.1f} |"
            )
    return "\n".join(lines)


def put_into(page: Path, text: str) -> None:
    """Puts the tables between the two comments of a page that say where they go."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page}: holds no {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Measures all steps at every size, writes JSON and prints Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, nargs="*", default=[1, 2, 4], help="sizes, in times seven matches")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the frames, events and clips")
    parser.add_argument("--clips", type=int, default=1000, help="clips an epoch where it is not the preset's")
    parser.add_argument("--epoch-share", type=float, default=1.0, help="share of a preset's epoch that is drawn at 1x")
    parser.add_argument("--seeds", type=int, default=2, help="runs of each of the sweep's two settings")
    parser.add_argument("--threads", type=int, default=1, help="of a process; several wait for each other by spinning")
    parser.add_argument("--skip", nargs="*", default=[], help="commands to leave out, by a part of their name")
    parser.add_argument("--out", type=Path, default=Path("full-size.json"), help="where the JSON goes")
    parser.add_argument("--page", type=Path, help="also put the tables into this Markdown page")
    parser.add_argument("--work", type=Path, help="where the data lies meanwhile  [default: a temporary folder]")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(options.out.read_text())["rows"] if options.out.is_file() else []
    rows = [row for row in rows if row["times"] not in options.times]
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        for times in options.times:
            place = write_data(Path(folder) / f"{times}x", times=times, scale=options.scale)
            n_bytes = sum(path.stat().st_size for path in place.features.rglob("*.h5"))
            for step in steps(place, options, times=times):
                if any(part in step.name for part in options.skip):
                    continue
                row = {"times": times, "store_bytes": n_bytes, **measured(step, Path(folder), options.threads)}
                rows.append(row)
                print(json.dumps(row), file=sys.stderr, flush=True)
                write_json(options.out, {"scale": options.scale, "rows": rows})
            shutil.rmtree(place.root)
    print(tables(rows))
    if options.page is not None:
        put_into(options.page, tables(rows))


if __name__ == "__main__":
    main()
