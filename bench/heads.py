"""Which head and which technique helps: one command trains a table of settings on a feature set, several seeds each.

    python bench/heads.py features/SET --data DATA --runs runs/heads --seeds 5

Every row changes one thing against `original-fixed` (or is a preset of its own). Runs lie in RUNS/SET/ROW/seed-N; done
ones are skipped, so an interrupted table goes on where it stood, more rows or seeds may be added later, and tables of
several feature sets may be made at once. The validation match chose `best`; the test matches are predicted and scored
once, at the end. Prints a Markdown table: mean and standard deviation over seeds; the mean difference to the base with
a paired 95 % interval, for which blocks of time (`--block`, the same ones for every row) and seeds are drawn again as
`ballspot compare` draws them; in how many of the seeds the row is ahead of the base with the same seed; and the
difference's p-value after Holm's correction for the number of rows.
"""

import argparse
import contextlib
import io
import json
import re
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import mean, stdev

import torch

from ballspot.cache.disk.hints import nearest_name
from ballspot.cli import main as ballspot
from ballspot.evaluate.dataset.data_selection import DataSelection
from ballspot.evaluate.dataset.labelsets import load_label_set
from ballspot.evaluate.results.settings import ComparedSetting, compare_settings
from ballspot.evaluate.scoring.matching import Pool
from ballspot.evaluate.scoring.metrics import pooled_average_precision
from ballspot.evaluate.scoring.pairing import read_pairing
from ballspot.evaluate.scoring.protocol import Protocol
from ballspot.evaluate.uncertainty.bootstrap import FEW_BLOCKS, Bootstrap

Row = tuple[str, tuple[str, ...]]  # preset, settings

# A training epoch of the rendered matches is short: the original's schedule at its own 1.7 passes an epoch.
PASSES = ("epoch_frames=auto",)

HEADS: dict[str, Row] = {
    "original": ("original", PASSES),
    "original-fixed": ("original-fixed", PASSES),
    "best": ("best", ()),
    "fast": ("fast", ()),
    **{
        f"head {kind}": ("original-fixed", (*PASSES, f"kind={kind}"))
        for kind in ("tcn", "multires", "gru", "unet", "tdeed", "linear")
    },
    "rotary positions": ("original-fixed", (*PASSES, "positions=rotary")),
}
FAULTS: dict[str, Row] = {
    "strided labels": ("original-fixed", (*PASSES, "label_assignment=strided")),
    "event time floor": ("original-fixed", (*PASSES, "event_time=floor")),
    "coverage stop-early, one phase": (
        "original-fixed",
        (*PASSES, "coverage=stop-early", "phases=one", "nms_window=12"),
    ),
    "lopsided NMS 5": ("original-fixed", (*PASSES, "phases=one", "suppression=lopsided", "nms_window=5")),
    "hard NMS": ("original-fixed", (*PASSES, "suppression=hard", "nms_window=12")),
    "merge sum": ("original-fixed", (*PASSES, "merge=sum")),
}
TECHNIQUES: dict[str, Row] = {
    "scaling match-common": ("original-fixed", (*PASSES, "scaling=match-common")),
    "scaling match": ("original-fixed", (*PASSES, "scaling=match")),
    "scaling train": ("original-fixed", (*PASSES, "scaling=train")),
    "width 256": ("original-fixed", (*PASSES, "width=256")),
    "pre-norm": ("original-fixed", (*PASSES, "norm=pre")),
    "batch 16, rate 3e-4": ("original-fixed", (*PASSES, "batch_clips=16", "learning_rate=3e-4")),
    "label radius 1": ("original-fixed", (*PASSES, "label_radius=1")),
    "label sd 1": ("original-fixed", (*PASSES, "label_sd=1.0")),
    "offsets zero-background, window 4, mse": (
        "original-fixed",
        (*PASSES, "offset_background=zero", "offset_window=4", "offset_loss=mse"),
    ),
    "T-DEED labels (radius 2 tokens)": (
        "original-fixed",
        (
            *PASSES,
            "label_radius=2",
            "offset_background=zero",
            "offset_window=4",
            "offset_loss=mse",
            "offset_weight=1.0",
            "class_weights=constant",
            "background_constant=1.0",
            "action_constant=5.0",
            "focal_gamma=0",
        ),
    ),
    "sigmoid focal 1.2": ("original-fixed", (*PASSES, "class_loss=sigmoid", "focal_gamma=1.2")),
    "near actions 50 %": ("original-fixed", (*PASSES, "sampling=near-actions")),
    "class balanced 50 %": ("original-fixed", (*PASSES, "sampling=class-balanced")),
    "mixup 0.2": ("original-fixed", (*PASSES, "mixup_alpha=0.2")),
    "temporal drop 0.5": ("original-fixed", (*PASSES, "temporal_drop=0.5")),
    "frame switch 0.3": ("original-fixed", (*PASSES, "frame_switch=0.3")),
    "index jitter 0.4": ("original-fixed", (*PASSES, "index_jitter=0.4")),
    "EMA 0.999": ("original-fixed", (*PASSES, "ema_decay=0.999")),
    "SAM 0.05": ("original-fixed", (*PASSES, "sam_rho=0.05")),
    "gradient clip 1": ("original-fixed", (*PASSES, "gradient_clip=1.0")),
    "team labels": ("original-fixed", (*PASSES, "teams=labels")),
    "team head": ("original-fixed", (*PASSES, "teams=head")),
    "overlap 75 %, centres": ("original-fixed", (*PASSES, "window_overlap=0.75", "centre_share=0.5")),
    "temporal stride 1": ("original-fixed", (*PASSES, "temporal_stride=1")),
    "temporal stride 4": ("original-fixed", (*PASSES, "temporal_stride=4")),
    "no offsets": ("original-fixed", (*PASSES, "offsets=false")),
}
GROUPS = {"heads": HEADS, "faults": FAULTS, "techniques": TECHNIQUES}
ROWS: dict[str, Row] = {name: row for group in GROUPS.values() for name, row in group.items()}
PROTOCOL = Protocol()


def row_name(text: str) -> str:
    """The name of a row. Raises ArgumentTypeError, with the nearest name, where there is none."""
    if text not in ROWS:
        near = nearest_name(text, ROWS)
        raise argparse.ArgumentTypeError(
            f"no row {text!r}; {f'did you mean {near!r}' if near else f'known: {[*ROWS]}'}"
        )
    return text


def quietly(words: Iterable[object]) -> None:
    """Runs a ballspot command without its output."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        ballspot([str(word) for word in words], standalone_mode=False)


def run_row(arguments: argparse.Namespace, name: str) -> list[Path]:
    """The finished run folders of a row, a folder a seed; trained where they are missing."""
    preset, settings = ROWS[name]
    slug = re.sub(r"[^\w.]+", "-", name.replace("%", "pc")).strip("-")
    folder = arguments.runs / arguments.features.resolve().name / slug
    words = ["train", arguments.features, "--data", arguments.data, "--run", folder, "--preset", preset]
    words += ["--labels", arguments.labels, "--seeds", arguments.seeds, "--device", arguments.device]
    words += [word for setting in (*settings, *arguments.set) for word in ("--set", setting)]
    quietly(words)
    return [folder / f"seed-{seed}" for seed in range(arguments.seeds)]


def pool_of(arguments: argparse.Namespace, run: Path, split: str) -> Pool:
    """A run's spots beside the labels of a split; test matches are predicted first where they are not."""
    predictions = run / "predictions" / split
    if split == "test" and not (predictions / "predictions.json").is_file():
        quietly(["predict", run, arguments.features, "--data", arguments.data, "--device", arguments.device])
    names = json.loads((run / "run.json").read_text(encoding="utf-8"))["splits"][split]
    label_set = load_label_set(arguments.labels)
    return read_pairing(predictions, DataSelection(arguments.data, label_set), names).pool(PROTOCOL.fps)


def cells(values: list[float], of_base: list[float], setting: ComparedSetting) -> list[str]:
    """Mean (deviation), difference [interval], seeds ahead and p-value of a row by one of the two means."""
    spread = f" ({stdev(values):.1f})" if len(values) > 1 else ""
    shown = [f"{mean(values):.1f}{spread}"]
    if setting.difference is None or setting.p_holm is None:
        return [*shown, "", "", ""]
    bounds = [f"{100 * bound:+.1f}" for bound in setting.difference.interval.as_record() if bound is not None]
    ahead = sum(one > other for one, other in zip(values, of_base, strict=True))
    difference = f"{100 * setting.difference.value:+.1f}" + (f" [{', '.join(bounds)}]" if bounds else "")
    return [*shown, difference, f"{ahead}/{len(values)}", f"{setting.p_holm:.3f}"]


def print_table(arguments: argparse.Namespace, split: str, runs: dict[str, list[Path]]) -> None:
    """The Markdown table of one split; the first of ``runs`` is the base."""
    pools = [pool_of(arguments, run, split) for folders in runs.values() for run in folders]
    bootstrap = Bootstrap(arguments.resamples, arguments.block)
    n_blocks = bootstrap.blocks(pools).size
    scored = [pooled_average_precision(pool, PROTOCOL.tolerances_s) for pool in pools]
    n_seeds = arguments.seeds
    groups = [list(range(place, place + n_seeds)) for place in range(0, len(pools), n_seeds)]
    counts = (0, arguments.min_count)
    every = compare_settings(
        [str(run) for folders in runs.values() for run in folders],
        groups,
        pools,
        tolerances_s=PROTOCOL.tolerances_s,
        bootstrap=bootstrap,
        min_counts=counts,
    )
    columns: list[list[list[str]]] = []
    for min_count, settings in zip(counts, every, strict=True):
        if not settings:
            columns.append([[""] * 4] * len(groups))
            continue
        values = [100 * float(one.ap[one.n_truth >= min_count].mean()) for one in scored]
        by_row = [[values[place] for place in group] for group in groups]
        columns.append([cells(row, by_row[0], setting) for row, setting in zip(by_row, settings, strict=True)])
    n_truth = scored[0].n_truth
    frequent = int((n_truth >= arguments.min_count).sum())
    print(
        f"\n{arguments.features.resolve().name}, {split}: {n_seeds} seeds, AP in %, mean (deviation over seeds); "
        f"difference to {arguments.base}\n[95 %: {n_blocks} blocks of {arguments.block:g} s and the seeds drawn "
        f"{arguments.resamples} times]; seeds ahead of the base; p after\nHolm's correction for {len(runs) - 1} rows. "
        f"{frequent} classes have {arguments.min_count} truths or more.\n"
    )
    if n_blocks < FEW_BLOCKS:
        print(f"{n_blocks} blocks are few: the intervals say little.\n")
    print(
        f"| setting | mAP@{n_truth.size} | difference | ahead | p "
        f"| mAP of classes with {arguments.min_count}+ | difference | ahead | p |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, of_all, of_frequent in zip(runs, *columns, strict=True):
        print(f"| {name} | {' | '.join([*of_all, *of_frequent])} |", flush=True)


def main() -> None:
    """Trains what is missing, then prints one table for each split asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--rows", nargs="+", type=row_name, default=[], help="these rows alone, with the base")
    parser.add_argument("--base", type=row_name, default="original-fixed")
    parser.add_argument("--split", nargs="+", choices=("valid", "test"), default=["valid"])
    parser.add_argument("--set", nargs="+", default=[], help="settings laid over every row, e.g. n_epochs=10")
    parser.add_argument("--block", type=float, default=30.0, help="seconds of the blocks that are drawn again")
    parser.add_argument("--resamples", type=int, default=Bootstrap.n_resamples, help="draws of blocks and seeds")
    parser.add_argument("--labels", default="ball-12")
    parser.add_argument("--min-count", type=int, default=10, help="truths that make a class count in the second mean")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    asked = arguments.rows or [name for group in arguments.groups for name in GROUPS[group]]
    runs = {}
    for name in dict.fromkeys([arguments.base, *asked]):
        started = time.monotonic()
        runs[name] = run_row(arguments, name)
        print(f"<!-- {name}: {time.monotonic() - started:.0f} s -->", flush=True)
    for split in arguments.split:
        print_table(arguments, split, runs)


if __name__ == "__main__":
    main()
