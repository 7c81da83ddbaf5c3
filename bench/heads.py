"""Which head and which technique helps: one command trains a table of settings on feature sets, several seeds each.

    python bench/heads.py features/SET --data DATA --runs runs/heads --seeds 5

Every row changes one thing against `original-fixed` (or against `best`, where it says so). Runs that are done are
skipped, so an interrupted table goes on where it stood, and more rows or seeds may be added later. The validation
match chose `best`; the test matches are predicted and scored once, at the end. Prints a Markdown table: mean and
standard deviation over seeds, and against the base the mean difference of equal seeds with a 95 % interval (Student's
t over the seeds' differences, which says how seeds vary, not how matches would).
"""

import argparse
import contextlib
import io
import json
import time
from pathlib import Path
from statistics import mean, stdev

import torch
from scipy.stats import t as student

from ballspot.cli import main as ballspot
from ballspot.evaluate.evaluation import evaluate_predictions
from ballspot.evaluate.labelsets import load_label_set

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
        for kind in ("tcn", "multires", "gru", "unet", "linear")
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


def run_row(arguments: argparse.Namespace, name: str, row: Row) -> list[Path]:
    """The finished run folders of a row, a folder a seed; trained where they are missing."""
    preset, settings = row
    folder = arguments.runs / name.replace(" ", "-").replace("%", "pc").replace(",", "")
    words = ["train", str(arguments.features), "--data", str(arguments.data), "--run", str(folder), "--preset", preset]
    words += ["--seeds", str(arguments.seeds), "--device", arguments.device]
    words += [word for setting in (*settings, *arguments.set) for word in ("--set", setting)]
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        ballspot(words, standalone_mode=False)
    return [folder / f"seed-{seed}" for seed in range(arguments.seeds)]


def numbers(arguments: argparse.Namespace, run: Path, split: str) -> tuple[float, float]:
    """Mean AP in % over all classes, and over those with at least ten truths, of one run on one split."""
    predictions = run / "predictions" / split
    if split == "test" and not (predictions / "predictions.json").is_file():
        words = [
            "predict",
            str(run),
            str(arguments.features),
            "--data",
            str(arguments.data),
            "--device",
            arguments.device,
        ]
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            ballspot(words, standalone_mode=False)
    names = json.loads((run / "run.json").read_text(encoding="utf-8"))["splits"][split]
    label_set = load_label_set(arguments.labels)
    done = evaluate_predictions(predictions, data_root=arguments.data, label_set=label_set, matches=names).result
    frequent = done.n_truth >= arguments.min_count
    return 100 * done.mean_ap, 100 * float(done.ap[frequent].mean()) if frequent.any() else float("nan")


def difference(ours: list[float], base: list[float]) -> str:
    """Mean difference of equal seeds and its 95 % interval."""
    pairs = [one - other for one, other in zip(ours, base, strict=True)]
    if len(pairs) < 2:
        return f"{mean(pairs):+.1f}"
    half = float(student.ppf(0.975, len(pairs) - 1)) * stdev(pairs) / len(pairs) ** 0.5
    return f"{mean(pairs):+.1f} [{mean(pairs) - half:+.1f}, {mean(pairs) + half:+.1f}]"


def main() -> None:
    """Trains what is missing, then prints one table for each split asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--rows", nargs="+", default=[], help="these rows alone, with the base")
    parser.add_argument("--base", default="original-fixed")
    parser.add_argument("--split", nargs="+", choices=("valid", "test"), default=["valid"])
    parser.add_argument("--set", nargs="+", default=[], help="settings laid over every row, e.g. n_epochs=10")
    parser.add_argument("--labels", default="ball-12")
    parser.add_argument("--min-count", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = {name: row for group in arguments.groups for name, row in GROUPS[group].items()}
    if arguments.rows:
        rows = {name: row for group in GROUPS.values() for name, row in group.items() if name in arguments.rows}
    rows = {arguments.base: HEADS[arguments.base], **rows}
    runs = {}
    for name, row in rows.items():
        started = time.monotonic()
        runs[name] = run_row(arguments, name, row)
        print(f"<!-- {name}: {time.monotonic() - started:.0f} s -->", flush=True)
    for split in arguments.split:
        table = {name: [numbers(arguments, run, split) for run in folders] for name, folders in runs.items()}
        print(f"\n{split}: {arguments.seeds} seeds, mean (standard deviation), AP in %, against {arguments.base}\n")
        print(
            f"| setting | mAP@12 | difference | mAP, classes with {arguments.min_count} truths or more | difference |"
        )
        print("|---|---|---|---|---|")
        base = [list(column) for column in zip(*table[arguments.base], strict=True)]
        for name, values in table.items():
            cells = []
            for column, of_base in zip(zip(*values, strict=True), base, strict=True):
                spread = f" ({stdev(column):.1f})" if len(column) > 1 else ""
                cells += [
                    f"{mean(column):.1f}{spread}",
                    difference(list(column), of_base) if name != arguments.base else "",
                ]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
