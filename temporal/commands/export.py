"""The command `ballspot export`: files for others, of predictions or of what is trained."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ...cache.errors import BallspotError
from ...cache.terminal import (
    FOLDER,
    command,
    data_option,
    labels_option,
    note,
    split_of_option,
    splits_option,
    trust_option,
)
from ...evaluate.commands.options import SECONDS, part_of, selection_options
from ...evaluate.exports import EXPORTS

ZIP = "soccernet-zip"
MODEL_FORMATS = ("bundle", "onnx", "card")
ALWAYS = ("source", "form", "out")
OF_A_SELECTION = ("threshold", "classes", "team", "named")
OF_TIME = ("before", "after")
OF_MATCHES = ("data_root", "split", "splits_file", "labels")
OF_FORMATS = {  # the options that a format reads; the zip file hands in every spot as it is
    ZIP: OF_MATCHES,
    **{name: OF_A_SELECTION + OF_TIME * (export.around_s is not None) + OF_MATCHES for name, export in EXPORTS.items()},
    "bundle": ("others", "features", "with_backbone", "checkpoint", "tuned"),
    "onnx": ("features", "checkpoint", "backbone"),
    "card": ("features", "checkpoint", "data_root"),
}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line of one export says."""

    source: Path
    form: str
    out: Path
    others: tuple[Path, ...]
    features: tuple[Path, ...]
    with_backbone: bool | None
    checkpoint: str
    tuned: Path | None
    backbone: Path | None
    threshold: float | None
    classes: str | None
    team: str | None
    named: tuple[str, ...]
    before: float | None
    after: float | None
    data_root: Path | None
    split: str | None
    splits_file: Path | None
    labels: str


@command("export", short_help="Write predictions or a run as a file for others.")
@click.argument("source", metavar="PREDICTIONS|RUN|BUNDLE", type=FOLDER)
@click.option(
    "--format",
    "form",
    type=click.Choice([ZIP, *EXPORTS, *MODEL_FORMATS]),
    default=ZIP,
    show_default=True,
    help="What to make. bundle, onnx and card are made from a run, the others from predictions, also those of a run.",
)
@click.option(
    "--out",
    type=FOLDER,
    required=True,
    help="File to write, or folder if there is one file per match; it must not exist yet.",
)
@click.option(
    "--with-run", "others", metavar="RUN", type=FOLDER, multiple=True,
    help="bundle: another run of the same features, whose scores are averaged with RUN's; repeatable.",
)  # fmt: skip
@click.option(
    "--features", type=FOLDER, multiple=True, metavar="SET",
    help="bundle, onnx, card: a set that the run was trained on; repeatable, in the order of the training.  [default: "
        "as the run recorded]",
)  # fmt: skip
@click.option(
    "--with-backbone/--without-backbone", default=None,
    help="bundle: include the backbone's weights.  [default: only if they are random, offline or fine-tuned here]",
)  # fmt: skip
@click.option(
    "--checkpoint", type=click.Choice(["best", "last"]), default="best", show_default=True,
    help="bundle, onnx, card: the head with the best validation mAP, or that of the last epoch.",
)  # fmt: skip
@click.option(
    "--tuned", type=FOLDER, metavar="FILE",
    help="bundle: post-processing from `ballspot tune`.  [default: RUN/tuned.json if it exists]",
)  # fmt: skip
@click.option("--backbone", type=FOLDER, metavar="FILE", help="onnx: also write the backbone to this file.")
@selection_options
@click.option(
    "--before", type=SECONDS, metavar="SECONDS", help="Seconds shown before a spot.  [default: 5; 0 for vtt and srt]"
)
@click.option(
    "--after", type=SECONDS, metavar="SECONDS", help="Seconds shown after a spot.  [default: 3; 1.5 for vtt and srt]"
)
@data_option(
    "Data root: all of its matches are exported, and no others. For card, counts and intervals come from it.",
    required=False,
)
@split_of_option("Matches of --data, or of the RUN, to export.")
@splits_option()
@labels_option
@click.pass_context
@trust_option
def export(context: click.Context, **options: Any) -> None:
    """Write predictions or a run as a file for others.

    Predictions become a submission, which keeps every spot as it is, or timelines, subtitles, chapters and tables of
    the spots from --threshold up.

    A run becomes a `bundle`, one file that `ballspot predict` takes anywhere; `onnx`, the head for other runtimes
    (extra `onnx`), which is compared with torch before it is kept; or a `card`, a page of Markdown that describes the
    head.

    \b
    ballspot export runs/first --format soccernet-zip --out submission.zip
    ballspot export runs/first --format sportscode --threshold 0.3 --out timelines
    ballspot export runs/first --format bundle --out first.ballspot
    """
    asked = Asked(**options)
    _require_fitting(context, asked.form)
    if asked.form not in MODEL_FORMATS:
        _predictions(asked)
        return
    if asked.out.exists():
        raise BallspotError(f"{asked.out}: already exists; choose another --out")
    {"bundle": _bundle, "onnx": _onnx, "card": _card}[asked.form](asked)


def _require_fitting(context: click.Context, form: str) -> None:
    """Raises a usage error for an option on the command line that the format does not read."""
    for option in context.command.params:
        name = option.name or ""
        given = context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
        if not given or name in (*ALWAYS, *OF_FORMATS[form]):
            continue
        if form == ZIP and name in OF_A_SELECTION + OF_TIME:
            reason = f"does not go with it: --format {ZIP} hands in every spot as it is"
        elif form in EXPORTS and name in OF_TIME:
            reason = f"does not go with it: --format {form} holds points in time"
        elif form == "bundle" and name == "backbone":
            reason = "is not for --format bundle; a bundle holds it: --with-backbone"
        else:
            reason = f"is not for --format {form}"
        raise click.UsageError(f"{option.opts[0]} {reason}")


def _predictions(asked: Asked) -> None:
    from ...evaluate.dataset import decided_threshold, given_predictions, load_label_set, split_remark
    from ...evaluate.exports import Selection, choose_spots, classes_of, threshold_remark, write_exports
    from ...evaluate.formats import pack_submission

    (given,) = given_predictions([asked.source], asked.split)
    names = part_of(given, asked.data_root, asked.split, asked.splits_file)
    if asked.form == ZIP:
        label_set = load_label_set(asked.labels)
        submission = pack_submission(given.path, asked.out, label_set=label_set, matches=names)
        click.echo(f"{asked.out}: {submission.n_spots} predictions of {submission.n_matches} matches, as {ZIP}")
        notes = submission.notes
    else:
        opened = given.opened().among(names or ())
        least = decided_threshold(given, asked.threshold, matches=names)
        selection = Selection(least.value, classes_of(asked.classes), asked.team)
        chosen = choose_spots(opened, selection, matches=names, named=asked.named)
        written = write_exports(
            asked.out, asked.form, chosen, predictions=opened, before_s=asked.before, after_s=asked.after
        )
        n_videos, n_files = len(chosen.videos), len(written.paths)
        click.echo(f"{asked.out}: {written.n_spots} spots of {n_videos} matches in {n_files} files, as {asked.form}")
        said = (None if asked.threshold is not None else least.remark(), threshold_remark(chosen, least.value))
        notes = (*filter(None, said), *written.notes)
    of_run = split_remark([given], asked.split)
    for line in [*([] if of_run is None else [of_run]), *notes]:
        note(f"note: {line}")


def _bundle(asked: Asked) -> None:
    from ..bundle import write_bundle

    bundle = write_bundle(
        [asked.source, *asked.others],
        out=asked.out,
        features=asked.features,
        checkpoint=asked.checkpoint,
        tuned=asked.tuned,
        with_backbone=asked.with_backbone,
    )
    held = [features.name for features in bundle.features if features.weights is not None]
    heads = "1 head" if len(bundle.heads) == 1 else f"{len(bundle.heads)} heads"
    what = f"with the backbone of {', '.join(held)}" if held else "without backbone"
    click.echo(f"{asked.out}: {heads}, {len(bundle.label_set)} labels, {what}, {asked.out.stat().st_size:,} bytes")
    for features in bundle.features:
        if features.weights is None and features.is_known:
            digest = features.spec.weights_sha256[:12]
            note(f"note: {features.name}: weights of digest {digest} ({features.origin}) are not in it")
        elif features.weights is None:
            note(f"note: {features.name}: was not found; the bundle predicts from features, not from video")


def _onnx(asked: Asked) -> None:
    from ..bundle import export_backbone, export_head, require_onnx

    require_onnx()
    if asked.backbone is not None and asked.backbone.exists():
        raise BallspotError(f"{asked.backbone}: already exists; choose another --backbone")
    done = export_head(asked.source, asked.out, checkpoint=asked.checkpoint)
    click.echo(f"{asked.out}: {done}")
    if asked.backbone is not None:
        written = export_backbone(asked.source, asked.backbone, features=asked.features)
        click.echo(f"{asked.backbone}: {written}")


def _card(asked: Asked) -> None:
    from ..bundle import open_bundle, write_card

    how: dict[str, Any] = {"features": asked.features, "checkpoint": asked.checkpoint, "with_backbone": False}
    bundle = open_bundle(asked.source, remedy=None, **how)
    run = asked.source if asked.source.is_dir() else None
    write_card(bundle, asked.out, run=run, data_root=asked.data_root)
    for features in bundle.features:
        if not features.spec.backbone:
            note(f"note: {features.name}: was not found; with --features the card says how its features are made")
    click.echo(f"{asked.out}: card of {len(bundle.heads)} head(s), {len(bundle.label_set)} labels")
