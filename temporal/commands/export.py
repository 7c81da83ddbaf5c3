"""The command `ballspot export`: files for others, of predictions or of what is trained.

Predictions are stage-less: what makes files of them is `evaluate`'s own command, whose formats and options are taken
over here. What is trained needs torch, which is imported only when it is asked for.
"""

from pathlib import Path
from typing import Any

import click

from ...cache.errors import BallspotError
from ...cache.terminal import note
from ...evaluate.commands.export import export as export_predictions

FOLDER = click.Path(path_type=Path)


MODEL_FORMATS = ("bundle", "onnx", "card")


SHARED = ("predictions", "form", "out")  # what both kinds of formats read


PREDICTIONS_ONLY = [one for one in export_predictions.params if one.name not in SHARED]


def _formats() -> list[str]:
    form = next(one for one in export_predictions.params if one.name == "form")
    return list(form.type.choices) if isinstance(form.type, click.Choice) else []


@click.command("export", short_help="Make a file for others of predictions or of a run.")
@click.argument("source", metavar="PREDICTIONS|RUN|BUNDLE", type=FOLDER)
@click.option(
    "--format",
    "form",
    type=click.Choice([*_formats(), *MODEL_FORMATS]),
    default="soccernet-zip",
    show_default=True,
    help="What to make; bundle, onnx and card are of a run, the others of predictions.",
)
@click.option(
    "--out", type=FOLDER, required=True, help="File to write, a folder for a file a match; it must not be there yet."
)
@click.option(
    "--with-run", "others", metavar="RUN", type=FOLDER, multiple=True,
    help="bundle: another run of the same features, whose scores are averaged. May be repeated.",
)  # fmt: skip
@click.option(
    "--features", type=FOLDER, multiple=True, metavar="SET",
    help="bundle, card: a set that the run was trained on, in order.  [default: as the run recorded]",
)  # fmt: skip
@click.option(
    "--with-backbone/--without-backbone", default=None,
    help="bundle: hold the backbone's weights.  [default: those that are random, offline or fine-tuned here]",
)  # fmt: skip
@click.option(
    "--checkpoint", type=click.Choice(["best", "last"]), default="best", show_default=True,
    help="bundle, onnx, card: the head of the best validation mAP, or of the last epoch.",
)  # fmt: skip
@click.option(
    "--tuned", type=FOLDER, metavar="FILE",
    help="bundle: post-processing from `ballspot tune`.  [default: RUN/tuned.json where it is]",
)  # fmt: skip
@click.option("--backbone", type=FOLDER, metavar="FILE", help="onnx: write the backbone there, too.")
@click.pass_context
def export(context: click.Context, source: Path, form: str, out: Path, **options: Any) -> None:
    """Make a file for others of predictions or of a run.

    Of predictions: a submission, which keeps every spot as it is, or timelines, subtitles, chapters and tables of the
    spots from --threshold up. Of a run: `bundle`, one file
    that `ballspot predict` takes anywhere; `onnx`, the head for other runtimes (extra `onnx`), compared with torch
    before it is kept; `card`, a page of Markdown that says what the head is.

    \b
    ballspot export runs/first/predictions/test --format soccernet-zip --out submission.zip
    ballspot export runs/first/predictions/test --format sportscode --threshold 0.3 --out timelines
    ballspot export runs/first --format bundle --out first.ballspot
    """
    of_predictions = {one.name for one in PREDICTIONS_ONLY}
    is_model = form in MODEL_FORMATS
    for name in options:
        given = context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
        if given and (name in of_predictions) == is_model:
            option = next(one for one in context.command.params if one.name == name)
            raise click.UsageError(f"{option.opts[0]} is not for --format {form}")
    if not is_model:
        kept = {name: value for name, value in options.items() if name in of_predictions}
        context.invoke(export_predictions, predictions=source, form=form, out=out, **kept)
        return
    if out.exists():
        raise BallspotError(f"{out}: is there already; choose another --out or remove it")
    kept = {name: value for name, value in options.items() if name not in of_predictions}
    {"bundle": _bundle, "onnx": _onnx, "card": _card}[form](source, out, **kept)


def _bundle(
    source: Path,
    out: Path,
    *,
    others: tuple[Path, ...],
    features: tuple[Path, ...],
    with_backbone: bool | None,
    checkpoint: str,
    tuned: Path | None,
    backbone: Path | None,
) -> None:
    from ..bundle import write_bundle

    if backbone is not None:
        raise click.UsageError("--backbone is not for --format bundle; a bundle holds it: --with-backbone")
    bundle = write_bundle(
        [source, *others],
        out=out,
        features=features,
        checkpoint=checkpoint,
        tuned=tuned,
        with_backbone=with_backbone,
    )
    held = [one.name for one in bundle.features if one.weights is not None]
    heads = "1 head" if len(bundle.heads) == 1 else f"{len(bundle.heads)} heads"
    what = f"with the backbone of {', '.join(held)}" if held else "without backbone"
    click.echo(f"{out}: {heads}, {len(bundle.label_set)} labels, {what}, {out.stat().st_size:,} bytes")
    for one in bundle.features:
        if one.weights is None and one.is_known:
            note(f"note: {one.name}: weights of digest {one.spec.weights_sha256[:12]} ({one.origin}) are not in it")
        elif one.weights is None:
            note(f"note: {one.name}: its stores are gone; the bundle predicts from features, not from video")


def _onnx(source: Path, out: Path, *, backbone: Path | None, checkpoint: str, **options: Any) -> None:
    from ..bundle import export_backbone, export_head, require_onnx

    _refuse(options, "onnx", allowed=("features",))
    require_onnx()
    if backbone is not None and backbone.exists():
        raise BallspotError(f"{backbone}: is there already; choose another --backbone or remove it")
    done = export_head(source, out, checkpoint=checkpoint)
    click.echo(f"{out}: {done}")
    if backbone is not None:
        click.echo(f"{backbone}: {export_backbone(source, backbone, features=options['features'])}")


def _card(source: Path, out: Path, *, features: tuple[Path, ...], checkpoint: str, **options: Any) -> None:
    from ..bundle import open_bundle, write_card

    _refuse(options, "card", allowed=())
    bundle = open_bundle(source, features=features, checkpoint=checkpoint, with_backbone=False)
    write_card(bundle, out, run=source if source.is_dir() else None)
    click.echo(f"{out}: card of {len(bundle.heads)} head(s), {len(bundle.label_set)} labels")


def _refuse(options: dict[str, Any], form: str, *, allowed: tuple[str, ...]) -> None:
    for name, value in options.items():
        if value not in (None, ()) and name not in allowed:
            raise click.UsageError(f"--{name.replace('_', '-')} is not for --format {form}")


export.params += PREDICTIONS_ONLY
