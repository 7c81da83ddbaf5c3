"""The commands of stage one: `extract`, `data check`, `data stats`, `data synth`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..cache.errors import BallspotError

if TYPE_CHECKING:
    import torch

    from ..evaluate.matches import Match

DATA = click.argument("data", type=click.Path(path_type=Path))
SPLITS_FILE = click.option(
    "--splits", "splits_file", type=click.Path(path_type=Path), help="TOML file with lists train, valid, test."
)
LABELS = click.option(
    "--labels", "label_set", default="ball-12", show_default=True, help="Label set: a name or a TOML file."
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")


class SizeType(click.ParamType):
    """HEIGHTxWIDTH in pixels as (height, width)."""

    name = "HxW"

    def convert(
        self, value: str | tuple[int, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", value)
        if found is None or not all(32 <= int(part) <= 8192 for part in found.groups()):
            self.fail(f"{value!r} is not HEIGHTxWIDTH in pixels, 32 to 8192, e.g. 224x398", param, ctx)
        return int(found[1]), int(found[2])


SIZE = SizeType()


@click.command("extract")
@DATA
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of feature sets.")
@click.option("--backbone", "backbone_name", default="regnety_002", show_default=True, help="Any timm model name.")
@click.option(
    "--weights", default="hub", show_default=True, help="hub, random[:SEED], offline, or a .pth or .safetensors file."
)
@click.option("--size", type=SIZE, default="224x398", show_default=True, help="What frames are resized to, pixels.")
@click.option("--stride", type=click.IntRange(1), default=1, show_default=True, help="Every how many frames a row.")
@click.option("--set", "set_name", help="Name of the feature set.  [default: BACKBONE-WEIGHTS-SIZE]")
@click.option("--match", "names", multiple=True, help="Only this match; may be given several times.")
@click.option("--batch", type=click.IntRange(1), default=16, show_default=True, help="Frames a batch.")
@click.option(
    "--decoder", type=click.Choice(["auto", "decord", "pyav"]), default="auto", show_default=True,
    help="What reads the videos; auto is decord, and PyAV for a video that decord cannot read exactly.",
)  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def extract(
    data: Path,
    out: Path,
    backbone_name: str,
    weights: str,
    size: tuple[int, int],
    stride: int,
    set_name: str | None,
    names: tuple[str, ...],
    batch: int,
    decoder: str,
    device: str,
) -> None:
    """Turn the videos of a data root into feature stores.

    One HDF5 file a match, OUT/SET/MATCH.h5. Complete stores are kept, and an interrupted extraction goes on where it
    was when the same command is given again.

    \b
    ballspot extract DATA --out features --backbone regnety_002 --weights hub
    """
    from ..evaluate.matches import find_matches
    from .backbones import load_backbone
    from .extraction import ExtractionJob, extract_matches
    from .weights import parse_weights

    chosen = _chosen(find_matches(data), names, data)
    spec = parse_weights(weights)
    on_device = _device(device)
    set_path = out / _require_set_name(set_name or default_set_name(backbone_name, spec.tag, size, stride))
    backbone = load_backbone(backbone_name, spec, size=size, device=on_device)
    decoders = ("decord", "pyav") if decoder == "auto" else (decoder,)
    job = ExtractionJob(backbone, device=on_device, stride=stride, batch_rows=batch, decoders=decoders)
    results = extract_matches(chosen, set_path, job)
    for result in results:
        state = f"{result.n_new_rows / result.seconds:.1f} frames/s" if result.n_new_rows else "was complete"
        click.echo(f"{result.path}  {result.n_rows} rows of {backbone.dim}  {state}")
    click.echo(f"feature set: {set_path}")


def default_set_name(backbone: str, weights_tag: str, size: tuple[int, int], stride: int = 1) -> str:
    """The name of a feature set: backbone, weights and size, and the stride where it is not 1."""
    name = f"{backbone}-{weights_tag}-{size[0]}x{size[1]}"
    return (name if stride == 1 else f"{name}-stride{stride}").replace("/", "_")


@click.command("check")
@DATA
@LABELS
@click.option("--decode", is_flag=True, help="Decode every frame too (about 1000 a second).")
@AS_JSON
def data_check(data: Path, label_set: str, decode: bool, as_json: bool) -> None:
    """Lint the videos and labels of a data root.

    One line a finding, LEVEL match: what (where). The exit code is 1 when there is an ERROR.

    \b
    ballspot data check DATA
    """
    from ..evaluate.labelsets import load_label_set
    from ..evaluate.matches import find_matches
    from .lint import ERROR, lint_matches

    matches = find_matches(data)
    findings = []
    for finding in lint_matches(matches, load_label_set(label_set), decode=decode):
        findings.append(finding)
        if not as_json:
            click.echo(finding.line())
    n_errors = sum(finding.level == ERROR for finding in findings)
    counts = {"n_matches": len(matches), "n_errors": n_errors, "n_warnings": len(findings) - n_errors}
    if as_json:
        click.echo(json.dumps({**counts, "findings": [asdict(finding) for finding in findings]}, indent=1))
    else:
        click.echo(f"{len(matches)} matches: {n_errors} errors, {counts['n_warnings']} warnings")
    if n_errors:
        click.get_current_context().exit(1)


@click.command("stats")
@DATA
@SPLITS_FILE
@click.option("--leave-out", help="Match to test on; the next validates, the others train.")
@LABELS
@AS_JSON
def data_stats(data: Path, splits_file: Path | None, leave_out: str | None, label_set: str, as_json: bool) -> None:
    """Count frames, duration and events per class and split.

    \b
    ballspot data stats DATA
    """
    from ..cache.console import note, print_table
    from ..evaluate.labelsets import load_label_set
    from ..evaluate.matches import find_matches
    from ..evaluate.splits import SPLITS_FILE as SPLITS_NAME
    from ..evaluate.splits import load_splits
    from .stats import match_stats, summary, table_rows

    matches, labels = find_matches(data), load_label_set(label_set)
    try:
        splits = load_splits(data, matches, splits_file=splits_file, leave_out=leave_out)
        names = {"train": splits.train, "valid": splits.valid, "test": splits.test}
    except BallspotError as error:
        if splits_file is not None or leave_out is not None or (data / SPLITS_NAME).exists():
            raise
        note(f"counted without a split: {error}")
        names = {}
    stats = {match.name: match_stats(match, labels) for match in matches}
    parts = {part: summary([stats[name] for name in of_part], labels) for part, of_part in names.items()}
    everything = summary(list(stats.values()), labels)
    if as_json:
        by_match = {name: summary([one], labels) | {"fps": str(one.fps)} for name, one in stats.items()}
        for one in by_match.values():
            del one["matches"]
        click.echo(json.dumps({**everything, "splits": parts, "by_match": by_match}, indent=1))
        return
    columns = {**parts, "all": everything}
    print_table(["", *columns], table_rows(columns, labels))


@click.command("synth")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--matches", "n_matches", type=click.IntRange(1, 999), default=7, show_default=True, help="How many.")
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Length of each, minutes.",
)
@click.option("--fps", default="25", show_default=True, help="Frames a second: 25, 29.97 or 30000/1001.")
@click.option("--size", type=SIZE, default="224x398", show_default=True, help="Picture size, pixels, even.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Decides events and sides.")
def data_synth(out: Path, n_matches: int, minutes: float, fps: str, size: tuple[int, int], seed: int) -> None:
    """Draw simple bar-coded matches for tests and for scale.

    Each picture holds its frame number as blocks, and marks of near events; labels come in SN-BAS proportions.

    \b
    ballspot data synth drawn --matches 4 --minutes 2 --fps 29.97
    """
    from .synth import synthesize

    names = synthesize(out, n_matches=n_matches, minutes=minutes, fps=parse_fps(fps), size=size, seed=seed)
    click.echo(f"{out}: {len(names)} matches of {minutes:g} minutes, labels and splits.toml")


def parse_fps(text: str) -> Fraction:
    """Frames a second as an exact fraction; 23.976, 29.97 and 59.94 mean the broadcast rates over 1001.

    Raises BallspotError unless it is a number above 0 and up to 240.
    """
    broadcast = {"23.976": 24000, "23.98": 24000, "29.97": 30000, "59.94": 60000}
    try:
        fps = Fraction(broadcast[text], 1001) if text in broadcast else Fraction(text)
    except (ValueError, ZeroDivisionError):
        fps = Fraction(0)
    if not 0 < fps <= 240:
        raise BallspotError(f"--fps {text}: must be a number above 0 and up to 240, e.g. 25, 29.97 or 30000/1001")
    return fps


def _chosen(matches: Sequence[Match], names: Sequence[str], data: Path) -> list[Match]:
    by_name = {match.name: match for match in matches}
    for name in names:
        if name not in by_name:
            near = get_close_matches(name, by_name, n=1, cutoff=0.0)[0]
            raise BallspotError(f"--match {name}: no such match in {data}; did you mean {near!r}?")
    return [by_name[name] for name in names] if names else list(matches)


def _device(name: str) -> torch.device:
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise BallspotError(f"--device {name}: not usable here; give auto, cpu or cuda") from error


def _require_set_name(name: str) -> str:
    if not re.fullmatch(r"[\w][\w .+-]*", name):
        raise BallspotError(f"--set {name}: a set's name has letters, digits, spaces and . + - _ only; choose another")
    return name
