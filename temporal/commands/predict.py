"""The command `predict`: spots of stored features, of videos, or of a video while it is being made."""

import json
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ...cache.disk import locked_folder
from ...cache.errors import BallspotError
from ...cache.runs import expand_runs, is_sweep
from ...cache.terminal import (
    FOLDER,
    FiniteRange,
    command,
    data_option,
    device_option,
    leave_out_option,
    note,
    parse_fps,
    splits_option,
    threads_option,
    trust_option,
)
from ...evaluate.dataset import (
    SPOTS_FILE,
    VIDEO_SUFFIXES,
    DataSelection,
    halves_by_match,
    names_to_predict,
    write_threshold,
)

if TYPE_CHECKING:
    from ..bundle import Bundle

LIVE_THRESHOLD = 0.2  # where none was chosen: what is to come is not known yet
OF_STORES = ("data_root", "split", "splits_file", "leave_out")
OF_LIVE = ("threshold", "warm_up", "idle", "as_json", "fps")
OF_VIDEOS = ("weights", "engine", "keep_features", "live", *OF_LIVE)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line of one prediction says; ``given`` names the options that stand on it."""

    run_path: Path
    inputs: tuple[str, ...]
    more: tuple[Path, ...]
    data_root: Path | None
    split: str
    others: tuple[Path, ...]
    tuned: Path | None
    out: Path | None
    splits_file: Path | None
    leave_out: str | None
    checkpoint: str
    device: str
    n_threads: int | None
    weights: str | None
    engine: str | None
    keep_features: Path | None
    live: bool
    threshold: float | None
    warm_up: float
    idle: float
    fps: str | None
    as_json: bool
    given: frozenset[str]

    def refuse(self, names: tuple[str, ...], why: str) -> None:
        """Raises BallspotError for the first of these options that was given."""
        for name in sorted(self.given & set(names)):
            shown = {"data_root": "data", "splits_file": "splits", "as_json": "json"}.get(name, name)
            raise BallspotError(f"--{shown.replace('_', '-')}: {why}")


@command("predict", short_help="Find the spots of a split, or of any video.")
@click.argument("run_path", metavar="RUN|SWEEP|BUNDLE", type=FOLDER)
@click.argument("inputs", metavar="FEATURES|VIDEO...", nargs=-1, required=True)
@click.option("--features", "more", type=FOLDER, multiple=True, help="The further sets that the run was trained on.")
@data_option("Data root: the match folders.", required=False)
@click.option("--split", default="test", show_default=True, type=click.Choice(("train", "valid", "test", "all")),
              help="Matches to predict; all means those of the three parts.")  # fmt: skip
@click.option("--with", "others", metavar="RUN", type=FOLDER, multiple=True,
              help="Another run of the same features, whose scores are averaged with RUN's; repeatable.")  # fmt: skip
@click.option("--tuned", metavar="FILE", type=FOLDER, help="Post-processing from `ballspot tune`.")
@click.option("--out", type=FOLDER, help="Folder for the predictions.  [default: RUN/predictions/SPLIT]")
@splits_option("the run's")
@leave_out_option("the run's")
@click.option("--checkpoint", default="best", show_default=True, type=click.Choice(("best", "last")),
              help="The head with the best validation mAP, or that of the last epoch.")  # fmt: skip
@device_option()
@threads_option
@click.option("--weights", help="Where the backbone's weights are now.  [default: where they were]")
@click.option(
    "--engine",
    type=click.Choice(("torch", "openvino")),
    help="What computes the features of a video.  [default: the engine of the training features]",
)
@click.option("--keep-features", type=FOLDER, help="Also keep the videos' feature sets in this folder.")
@click.option(
    "--live", is_flag=True, help="The video is still growing: it is a file, a named pipe, or - (standard input)."
)
@click.option(
    "--threshold",
    type=FiniteRange(0, 1),
    help="With --live: lowest confidence of a spot that is printed.  [default: the run's own, chosen on its validation "
    "matches; if it has none, 0.2]",
)
@click.option(
    "--warm-up",
    type=FiniteRange(min=0),
    default=60.0,
    show_default=True,
    help="With --live: seconds to wait before the first spot, if the head scales features by match.",
)
@click.option("--idle", type=click.FloatRange(min=0), default=30.0, show_default=True,
              help="With --live: seconds after which a file that no longer grows counts as ended.")  # fmt: skip
@click.option("--fps", help="With --live: frames per second of a stream that does not say it, e.g. 25.")
@click.option(
    "--json", "as_json", is_flag=True, help="With --live: print one JSON object per spot, each on its own line."
)
@trust_option
@click.pass_context
def predict(context: click.Context, **options: Any) -> None:
    """Find the spots of a split, or of any video.

    With FEATURES and --data, a split is predicted from stored features, which must be extracted as those that RUN was
    trained on. Writes OUT/MATCH/results_spotting.json in SoccerNet's format and OUT/MATCH/scores.npz with the scores
    of every frame. For a RUN of several seeds (`train --seeds`) the scores are averaged. For a SWEEP, each finished
    run that has not predicted the split yet does so.

    With videos, or folders of them, the frames go straight through the backbone and the head, and no features are
    stored. OUT (default: predictions) also gets a table, OUT/VIDEO/spots.csv.

    \b
    ballspot predict runs/tcn features/SET --data DATA --split test
    ballspot predict runs/tcn my-match.mp4 --out my-spots
    ffmpeg -i rtmp://... -f mpegts - | ballspot predict runs/tcn - --live
    """
    given = {name for name in context.params if context.get_parameter_source(name) == ParameterSource.COMMANDLINE}
    asked = Asked(**options, given=frozenset(given))
    if asked.data_root is not None or _is_feature_set(asked.inputs[0]):
        asked.refuse(OF_VIDEOS, "stored features have no use for it; leave it out")
        if asked.data_root is None:
            raise BallspotError(f"{asked.inputs[0]}: a feature set; give --data, the folder of its matches, with it")
        if asked.inputs[1:]:
            raise BallspotError(
                f"{asked.inputs[-1]}: give one feature set; further ones that RUN reads with --features"
            )
        _stores(asked, asked.data_root)
        return
    asked.refuse(OF_STORES, "is for stored features; leave it out, or give --data too")
    if asked.live:
        asked.refuse(("keep_features", "tuned", "out"), "does not work with --live; leave it out")
        _live(asked)
        return
    asked.refuse(OF_LIVE, "is for --live; leave it out")
    _videos(asked)


def _is_feature_set(text: str) -> bool:
    path = Path(text)
    if not path.is_dir() or next(path.rglob("*.h5"), None) is None:
        return False
    return not any(found.suffix.lower() in VIDEO_SUFFIXES for found in path.rglob("*"))


def _stores(asked: Asked, data_root: Path) -> None:
    """The split from stored features: of a run, or of every finished run of a sweep that has not predicted it yet."""
    if not is_sweep(asked.run_path):
        _predict_split(asked, data_root)
        return
    asked.refuse(("out", "others", "tuned"), "is for one run; a sweep's runs each keep their own predictions")
    runs = expand_runs([asked.run_path])
    for number, path in enumerate(runs, start=1):
        note(f"run {number} of {len(runs)}: {path}")
        _predict_split(replace(asked, run_path=path), data_root, is_of_sweep=True)


def _predict_split(asked: Asked, data_root: Path, *, is_of_sweep: bool = False) -> None:
    from ...extract.device import pick_device, use_threads
    from ..bundle import read_trained, threshold_of
    from ..decoding import read_postprocessing
    from ..features import open_source
    from ..prediction import Ensemble, claim_folder, predict_matches, prediction_record, write_wholes

    use_threads(asked.n_threads)
    trained = [read_trained(path, checkpoint=asked.checkpoint) for path in (asked.run_path, *asked.others)]
    source = open_source(Path(asked.inputs[0]), asked.more)
    tuned = trained[0].tuned if asked.tuned is None else read_postprocessing(asked.tuned)
    checkpoints = tuple(checkpoint for run in trained for checkpoint in run.checkpoints)
    ensemble = Ensemble(checkpoints, pick_device(asked.device), tuned)
    ensemble.require_fingerprint(source)
    data = DataSelection(
        data_root,
        ensemble.checkpoints[0].description.label_set,
        asked.splits_file,
        asked.leave_out,
        one_video=True,
        stored=source.recordings,
    )
    names = names_to_predict(trained[0].splits, data, asked.split)
    for name in names:
        with source.open(name):  # complains before the work begins
            pass
    if asked.out is None and asked.run_path.is_file():
        raise BallspotError(f"{asked.run_path}: a bundle keeps no predictions; give --out FOLDER")
    out = asked.out or asked.run_path / "predictions" / asked.split
    keys = [key for run in trained for key in run.run_keys]
    wholes = list(dict.fromkeys(data.matches[name].whole for name in names))
    claim_folder(out, prediction_record(ensemble, run_keys=keys, checkpoint_name=asked.checkpoint, names=wholes))
    threshold = None if asked.others else trained[0].threshold
    with locked_folder(out, shared=True):  # a train command that clears up leaves its files alone
        write_threshold(out, threshold if asked.tuned is None else threshold_of(asked.run_path, tuned=asked.tuned))
        if is_of_sweep and all((out / name / SPOTS_FILE).is_file() for name in (*names, *wholes)):
            note(f"{out}: was predicted before")
            return
        for done in predict_matches(ensemble, source, names, out=out):
            click.echo(f"{done.name}: {done.n_frames} frames scored, {done.n_spots} spots")
        write_wholes(out, halves_by_match(data.matches[name] for name in names))


def _loaded(asked: Asked) -> "Bundle":
    """The heads of a run or a bundle, and how their features are made."""
    from ..bundle import bundle_of, is_bundle, load_bundle, threshold_of

    path, checkpoint = asked.run_path, asked.checkpoint if "checkpoint" in asked.given else None
    if is_bundle(path):
        asked.refuse(("others",), "is for runs; a bundle brings all of its heads")
        if asked.more:
            raise BallspotError("--features: is for runs; a bundle knows how its features are made")
        bundle = load_bundle(path)
        if checkpoint not in (None, bundle.checkpoint):
            raise BallspotError(
                f"{path}: holds the {bundle.checkpoint} checkpoint; leave out --checkpoint {checkpoint}"
            )
        return bundle
    bundle = bundle_of(
        [path, *asked.others], features=asked.more, checkpoint=checkpoint or "best", with_backbone=asked.weights is None
    )
    return replace(bundle, postprocessing=None, threshold=threshold_of(path, others=asked.others))  # tuned: by --tuned


def _engine_here(bundle: "Bundle", engine: str | None) -> str | None:
    """The engine asked for; torch where none was and the one of the training features is not installed."""
    of_training = {features.engine.kind for features in bundle.features}
    if engine is None and "openvino" in of_training and not has_openvino():
        note("the features of the training came from OpenVINO, which is not installed: torch makes nearly the same")
        return "torch"
    return engine


def has_openvino() -> bool:
    """Whether OpenVINO is installed."""
    return find_spec("openvino") is not None


def _videos(asked: Asked) -> None:
    from ...extract.device import pick_device, use_threads
    from ...extract.rows import RowMaker
    from ..adopted import AdoptedScorer
    from ..bundle import threshold_of
    from ..decoding import read_postprocessing
    from ..on_video import RowScorer, given_videos, halves_of_videos, predict_keeping, predict_videos
    from ..prediction import Ensemble, claim_folder, prediction_record, write_wholes

    videos = given_videos([Path(text) for text in asked.inputs])
    bundle = _loaded(asked)
    tuned = bundle.postprocessing if asked.tuned is None else read_postprocessing(asked.tuned)
    if bundle.procedure is not None:
        asked.refuse(("engine", "keep_features"), "is for heads that read rows; an adopted model sees whole clips")
    engine = _engine_here(bundle, asked.engine)
    ensemble = Ensemble(bundle.heads, pick_device(asked.device), tuned)
    out = asked.out or Path("predictions")
    record = prediction_record(ensemble, run_keys=bundle.run_keys, checkpoint_name=bundle.checkpoint, names=())
    claim_folder(out, record)
    use_threads(asked.n_threads, spare=1)  # one core decodes
    threshold = bundle.threshold if asked.tuned is None else threshold_of(asked.run_path, tuned=asked.tuned)
    with ExitStack() as stack:
        stack.enter_context(locked_folder(out, shared=True))  # as for stored features
        write_threshold(out, threshold)
        if bundle.procedure is not None:
            note(f"{bundle.procedure.system}: {bundle.procedure.told()}")
            scorer = AdoptedScorer.of(bundle, device=ensemble.device, weights=asked.weights)
            predicted = predict_videos(ensemble, scorer, videos, out=out)
        elif asked.keep_features is not None:
            predicted = predict_keeping(
                ensemble,
                bundle.features,
                videos,
                folder=asked.keep_features,
                out=out,
                weights=asked.weights,
                engine=engine,
            )
        else:
            maker = stack.enter_context(
                RowMaker(bundle.features, ensemble.views, device=ensemble.device, weights=asked.weights, engine=engine)
            )
            predicted = predict_videos(ensemble, RowScorer(ensemble, maker, out), videos, out=out)
        stack.callback(write_wholes, out, halves_of_videos(videos))  # also where a video fails
        for done in predicted:
            click.echo(f"{done.name}: {done.n_frames} frames scored, {done.n_spots} spots")
    click.echo(f"predictions: {out}")


def _live(asked: Asked) -> None:
    from ...extract.device import pick_device, use_threads
    from ...extract.rows import RowMaker
    from ...extract.video import LiveFrames, open_live
    from ..on_video import live_spots
    from ..prediction import Ensemble

    fps = None if asked.fps is None else parse_fps(asked.fps)
    if asked.inputs[1:]:
        raise BallspotError(f"{asked.inputs[1]}: --live takes one stream; start another process for it")
    use_threads(asked.n_threads)
    bundle = _loaded(asked)
    if bundle.postprocessing is not None:
        note("--live: the bundle's tuned post-processing is for whole matches; its configuration's own is used")
    engine, ensemble = _engine_here(bundle, asked.engine), Ensemble(bundle.heads, pick_device(asked.device))
    threshold = asked.threshold
    if threshold is None:
        threshold = LIVE_THRESHOLD if bundle.threshold is None else bundle.threshold
        note(f"note: spots are printed from {threshold:g} up; --threshold takes another number")
    stream = open_live(asked.inputs[0], patience_s=asked.idle)
    with ExitStack() as stack:
        maker = stack.enter_context(
            RowMaker(bundle.features, ensemble.views, device=ensemble.device, weights=asked.weights, engine=engine)
        )
        maker.shorten_windows()
        frames = stack.enter_context(closing(LiveFrames(stream, asked.inputs[0], fps=fps, rate=ensemble.rate)))
        for told in live_spots(ensemble, maker, frames, warm_up_s=asked.warm_up, tell=note):
            spot = told.spot
            if (spot.confidence or 0.0) < threshold:
                continue
            if asked.as_json:
                line = {"position": spot.position_ms, "label": spot.label, "team": spot.team}
                click.echo(json.dumps({**line, "confidence": spot.confidence, "latency_s": round(told.latency_s, 3)}))
            else:
                click.echo(
                    f"{clock(spot.position_ms)}  {spot.label:<24} {spot.team or '':<6}{spot.confidence:.2f}  "
                    f"(printed after {told.latency_s:.1f} s of video)"
                )


def clock(position_ms: int) -> str:
    """h:mm:ss.mmm."""
    seconds, ms = divmod(position_ms, 1000)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{ms:03d}"
