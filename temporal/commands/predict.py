"""The command `predict`: spots of stored features, of videos, or of a video while it is being made."""

import json
from collections.abc import Sequence
from contextlib import ExitStack, closing
from copy import copy
from dataclasses import replace
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ...cache.errors import BallspotError
from ...cache.terminal import FiniteRange, note, parse_fps
from ...evaluate.dataset import VIDEO_SUFFIXES
from ...extract.device import pick_device

if TYPE_CHECKING:
    from ...evaluate.dataset import Splits
    from ..bundle import Bundle

FOLDER = click.Path(path_type=Path)


OF_SPLITS = ("data_root", "split", "splits_file", "leave_out")


OF_LIVE = ("threshold", "warm_up", "idle", "as_json", "fps")


def _shared_options() -> list[click.Parameter]:
    """The options of prediction from stored features; with videos there is no data root to give."""
    options = []
    for option in predict_stores.params:
        if isinstance(option, click.Option):
            option = copy(option)
            option.required = False
            options.append(option)
    return options


@click.command(short_help="Find the spots of a split with a trained run.")
@click.argument("run_path", metavar="RUN|BUNDLE", type=FOLDER)
@click.argument("features", type=FOLDER)
@click.option("--features", "more", type=FOLDER, multiple=True, help="The further sets that the run was trained on.")
@click.option("--data", "data_root", type=FOLDER, required=True, help="Data root: the match folders.")
@click.option("--split", default="test", show_default=True, type=click.Choice(("train", "valid", "test", "all")),
              help="Which matches; all are those of the three parts.")  # fmt: skip
@click.option("--with", "others", metavar="RUN", type=FOLDER, multiple=True,
              help="Another run of the same features; scores are averaged. May be repeated.")  # fmt: skip
@click.option("--tuned", metavar="FILE", type=FOLDER, help="Post-processing from `ballspot tune`.")
@click.option("--out", type=FOLDER, help="Folder for the predictions.  [default: RUN/predictions/SPLIT]")
@click.option("--splits", "splits_file", type=FOLDER, help="TOML file with train, valid, test.  [default: the run's]")
@click.option("--leave-out", metavar="MATCH", help="Parts as `train --leave-out` makes them.  [default: the run's]")
@click.option("--checkpoint", default="best", show_default=True, type=click.Choice(("best", "last")),
              help="The head of the best validation mAP, or of the last epoch.")  # fmt: skip
@click.option(
    "--device", default="auto", show_default=True, help="auto (a GPU if there is one), cpu, cuda, cuda:1, ..."
)
def predict_stores(
    run_path: Path,
    features: Path,
    more: tuple[Path, ...],
    data_root: Path,
    split: str,
    others: tuple[Path, ...],
    tuned: Path | None,
    out: Path | None,
    splits_file: Path | None,
    leave_out: str | None,
    checkpoint: str,
    device: str,
) -> None:
    """Find the spots of a split with a trained run.

    Writes OUT/MATCH/results_spotting.json in SoccerNet's format and OUT/MATCH/scores.npz with the scores of every
    frame. FEATURES must be extracted as those that the run was trained on. A RUN of several seeds (`train --seeds`)
    gives the mean of their scores. A BUNDLE (`export --format bundle`) stands for its run, and brings its tuned
    post-processing.

    \b
    ballspot predict runs/tcn features/SET --data DATA --split test
    """
    from ...cache.disk import locked_folder
    from ..bundle import read_trained
    from ..decoding import read_postprocessing
    from ..features import open_source
    from ..prediction import claim_folder, predict_matches, prediction_record, require_fingerprint

    trained = [read_trained(path, checkpoint=checkpoint) for path in (run_path, *others)]
    kept = [one for each in trained for one in each.checkpoints]
    source = open_source(features, more)
    decodings = trained[0].tuned if tuned is None else read_postprocessing(tuned)
    for one in kept:
        require_fingerprint(one, source)
    names = split_names(trained[0].splits, data_root, split, splits_file=splits_file, leave_out=leave_out)
    for name in names:
        with source.open(name):  # complains before the work begins
            pass
    if out is None and run_path.is_file():
        raise BallspotError(f"{run_path}: a bundle keeps no predictions; give --out FOLDER")
    out = out or run_path / "predictions" / split
    keys = [key for each in trained for key in each.run_keys]
    claim_folder(out, prediction_record(kept, run_keys=keys, checkpoint_name=checkpoint, names=names, tuned=decodings))
    with locked_folder(out, shared=True):  # a train command that clears up leaves its files alone
        for done in predict_matches(kept, source, names, out=out, device=pick_device(device), tuned=decodings):
            click.echo(f"{done.name}: {done.n_frames} frames scored, {done.n_spots} spots")


@click.command("predict", params=_shared_options(), short_help="Find the spots of a split, or of any video.")
@click.argument("run_path", metavar="RUN|BUNDLE", type=FOLDER)
@click.argument("inputs", metavar="FEATURES|VIDEO...", nargs=-1, required=True)
@click.option("--weights", help="Where the backbone's weights are now.  [default: where they were]")
@click.option("--engine", type=click.Choice(("torch", "openvino")),
              help="What computes a video's features.  [default: what computed those of the training]")  # fmt: skip
@click.option("--keep-features", type=FOLDER, help="Also keep the videos' feature sets in this folder.")
@click.option("--live", is_flag=True, help="The video is still being made: a growing file, a named pipe, or - (stdin).")
@click.option("--threshold", type=FiniteRange(0, 1), default=0.2, show_default=True,
              help="With --live: the least confidence of a spot that is told.")  # fmt: skip
@click.option("--warm-up", type=FiniteRange(min=0), default=60.0, show_default=True,
              help="With --live: seconds before the first spot, where a head scales by the match.")  # fmt: skip
@click.option("--idle", type=click.FloatRange(min=0), default=30.0, show_default=True,
              help="With --live: seconds after which a file that no longer grows has ended.")  # fmt: skip
@click.option("--fps", help="With --live: frames a second of a stream that does not say, e.g. 25.")
@click.option("--json", "as_json", is_flag=True, help="With --live: one JSON object a spot and line.")
@click.pass_context
def predict(
    context: click.Context,
    run_path: Path,
    inputs: tuple[str, ...],
    weights: str | None,
    engine: str | None,
    keep_features: Path | None,
    live: bool,
    threshold: float,
    warm_up: float,
    idle: float,
    fps: str | None,
    as_json: bool,
    **stored: Any,
) -> None:
    """Find the spots of a split, or of any video.

    With FEATURES and --data, a split is predicted from stored features, extracted as those that RUN was trained on.
    Writes OUT/MATCH/results_spotting.json in SoccerNet's format and OUT/MATCH/scores.npz with the scores of every
    frame. A RUN of several seeds (`train --seeds`) gives the mean of their scores.

    With videos, or folders of them, the frames go straight through the backbone and the head, nothing is stored, and
    OUT (default: predictions) also gets a table, OUT/VIDEO/spots.csv.

    \b
    ballspot predict runs/tcn features/SET --data DATA --split test
    ballspot predict runs/tcn my-match.mp4 --out my-spots
    ffmpeg -i rtmp://... -f mpegts - | ballspot predict runs/tcn - --live
    """
    given = {name for name in context.params if context.get_parameter_source(name) == ParameterSource.COMMANDLINE}
    own = {"weights", "engine", "keep_features", "live", *OF_LIVE}
    if stored["data_root"] is not None or _is_feature_set(inputs):
        _refuse(given & own, "stored features have no use for it; leave it out")
        if stored["data_root"] is None:
            raise BallspotError(f"{inputs[0]}: a feature set; give --data, the folder of its matches, with it")
        if inputs[1:]:
            raise BallspotError(f"{inputs[-1]}: give one feature set; further ones that RUN reads with --features")
        context.invoke(predict_stores, run_path=run_path, features=Path(inputs[0]), **stored)
        return
    if "checkpoint" not in given:
        stored["checkpoint"] = None  # a bundle's own, a run's best
    _refuse(given & set(OF_SPLITS), "is for stored features; leave it out, or give --data too")
    if live:
        _refuse(given & {"keep_features", "tuned", "out"}, "cannot be had with --live; leave it out")
        rate = None if fps is None else parse_fps(fps)
        _live(run_path, inputs, stored, weights, engine, threshold, warm_up, idle, rate, as_json=as_json)
        return
    _refuse(given & set(OF_LIVE), "is for --live; leave it out")
    _videos(run_path, inputs, stored, weights, engine, keep_features)


def _is_feature_set(inputs: Sequence[str]) -> bool:
    path = Path(inputs[0])
    if not path.is_dir() or next(path.rglob("*.h5"), None) is None:
        return False
    return not any(found.suffix.lower() in VIDEO_SUFFIXES for found in path.rglob("*"))


def _refuse(names: set[str], why: str) -> None:
    for name in sorted(names):
        shown = {"data_root": "data", "splits_file": "splits", "as_json": "json"}.get(name, name)
        raise BallspotError(f"--{shown.replace('_', '-')}: {why}")


def _loaded(run_path: Path, stored: dict[str, Any], weights: str | None) -> "Bundle":
    """The heads of a run or a bundle, and how their features are made."""
    from ..bundle import bundle_of, is_bundle, load_bundle
    from ..prediction import require_alike

    if is_bundle(run_path):
        _refuse({"others"} if stored["others"] else set(), "is for runs; a bundle brings all of its heads")
        _refuse({"features"} if stored["more"] else set(), "is for runs; a bundle knows how its features are made")
        bundle, asked = load_bundle(run_path), stored["checkpoint"]
        if asked not in (None, bundle.checkpoint):
            raise BallspotError(f"{run_path}: holds the {bundle.checkpoint} checkpoint; leave out --checkpoint {asked}")
        return bundle
    bundle = bundle_of(
        [run_path, *stored["others"]],
        features=stored["more"],
        checkpoint=stored["checkpoint"] or "best",
        with_backbone=weights is None,
    )
    require_alike(bundle.heads)
    return replace(bundle, postprocessing=None)  # a run's is asked for with --tuned


def _engine_here(bundle: "Bundle", engine: str | None) -> str | None:
    """The engine asked for; torch where none was and the one of the training features is not installed."""
    if engine is None and any(one.engine.kind == "openvino" for one in bundle.features) and not has_openvino():
        note("the features of the training came from OpenVINO, which is not installed: torch makes nearly the same")
        return "torch"
    return engine


def has_openvino() -> bool:
    """Whether OpenVINO is installed."""
    return find_spec("openvino") is not None


def _videos(
    run_path: Path,
    inputs: Sequence[str],
    stored: dict[str, Any],
    weights: str | None,
    engine: str | None,
    keep_features: Path | None,
) -> None:
    import torch

    from ...extract.rows import AUTO_DECODERS, RowMaker
    from ..decoding import read_postprocessing
    from ..on_video import given_videos, predict_keeping, predict_videos
    from ..prediction import claim_folder, prediction_record, wanted_views

    videos = given_videos([Path(text) for text in inputs])
    bundle = _loaded(run_path, stored, weights)
    tuned = bundle.postprocessing if stored["tuned"] is None else read_postprocessing(stored["tuned"])
    engine, kept = _engine_here(bundle, engine), bundle.heads
    device = pick_device(stored["device"])
    out = stored["out"] or Path("predictions")
    record = prediction_record(kept, run_keys=bundle.run_keys, checkpoint_name=bundle.checkpoint, names=(), tuned=tuned)
    claim_folder(out, record)
    torch.set_num_threads(max(torch.get_num_threads() - 1, 1))  # one core decodes
    if keep_features is not None:
        for done in predict_keeping(
            kept,
            bundle.features,
            videos,
            folder=keep_features,
            out=out,
            device=device,
            weights=weights,
            engine=engine,
            tuned=tuned,
        ):
            click.echo(f"{done.name}: {done.n_frames} frames scored, {done.n_spots} spots")
    else:
        with RowMaker(bundle.features, wanted_views(kept), device=device, weights=weights, engine=engine) as maker:
            for done in predict_videos(
                kept, maker, videos, out=out, device=device, decoders=AUTO_DECODERS, tuned=tuned
            ):
                click.echo(f"{done.name}: {done.n_frames} frames scored, {done.n_spots} spots")
    click.echo(f"predictions: {out}")


def _live(
    run_path: Path,
    inputs: Sequence[str],
    stored: dict[str, Any],
    weights: str | None,
    engine: str | None,
    threshold: float,
    warm_up_s: float,
    idle_s: float,
    fps: Fraction | None,
    *,
    as_json: bool,
) -> None:
    from ...extract.rows import RowMaker
    from ...extract.video import LiveFrames, open_live
    from ..on_video import live_spots
    from ..prediction import wanted_views

    if len(inputs) > 1:
        raise BallspotError(f"{inputs[1]}: --live takes one stream; start another process for it")
    bundle = _loaded(run_path, stored, weights)
    if bundle.postprocessing is not None:
        note("--live: the bundle's tuned post-processing is for whole matches; its configuration's own is used")
    engine = _engine_here(bundle, engine)
    kept, device = bundle.heads, pick_device(stored["device"])
    stream = open_live(inputs[0], patience_s=idle_s)
    with ExitStack() as stack:
        maker = stack.enter_context(
            RowMaker(bundle.features, wanted_views(kept), device=device, weights=weights, engine=engine)
        )
        maker.shorten_windows()
        frames = stack.enter_context(closing(LiveFrames(stream, inputs[0], fps=fps)))
        for told in live_spots(kept, maker, frames, device=device, warm_up_s=warm_up_s, tell=note):
            spot = told.spot
            if (spot.confidence or 0.0) < threshold:
                continue
            if as_json:
                line = {"position": spot.position_ms, "label": spot.label, "team": spot.team}
                click.echo(json.dumps({**line, "confidence": spot.confidence, "latency_s": round(told.latency_s, 3)}))
            else:
                click.echo(
                    f"{clock(spot.position_ms)}  {spot.label:<24} {spot.team or '':<6}{spot.confidence:.2f}  "
                    f"(told after {told.latency_s:.1f} s of video)"
                )


def clock(position_ms: int) -> str:
    """h:mm:ss.mmm."""
    seconds, ms = divmod(position_ms, 1000)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{ms:03d}"


def split_names(
    of_run: "Splits", data_root: Path, split: str, *, splits_file: Path | None, leave_out: str | None
) -> tuple[str, ...]:
    """The matches to predict: of the run's own split where the data root has them, else of the data's, which is said.

    Raises BallspotError where the data's split then names matches that the run was trained or validated on as others.
    """
    from ...evaluate.dataset import find_matches, load_splits

    matches = find_matches(data_root)
    if splits_file is None and leave_out is None:
        names = of_run.part(split)
        missing = sorted(set(names) - {match.name for match in matches})
        if not missing:
            return names
        splits = load_splits(data_root, matches, splits_file=None, leave_out=None)
        known = {name for part in ("train", "valid") if part != split for name in of_run.by_part[part]}
        seen = sorted(known & set(splits.part(split))) if split != "all" else []
        if seen:
            raise BallspotError(
                f"{data_root}: has no {missing[0]!r} of the run's {split} part, and {seen[0]!r} in its own {split} part"
                " is one that the run was trained or validated on; say which matches with --splits"
            )
        note(f"{data_root}: has no {missing[0]!r} of the run's {split} part; its own split is used ({splits.source})")
        return splits.part(split)
    return load_splits(data_root, matches, splits_file=splits_file, leave_out=leave_out).part(split)
