"""What ignoring a video's frame rate costs: one head on the same match at 25, 29.97, 50 and 60 frames a second.

    python bench/frame_rates.py RUN DATA [--match NAME]

Each test match of DATA (or the given one) is written anew at every rate, the frame of each moment being the one that
the original shows then, and RUN is applied to it twice: as it is, which brings the video to the rate of the training by
time, and as if it had been trained at the video's own rate, which ignores it. Both are scored by the same labels, whose
times no rate changes. Prints a Markdown table of mAP in %.
"""

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import torch

from ballspot.evaluate.dataset import DataSelection, load_label_set
from ballspot.evaluate.results import evaluate_predictions
from ballspot.extract.rows import RowMaker
from ballspot.temporal.bundle import bundle_of
from ballspot.temporal.on_video import RowScorer, given_videos, predict_videos
from ballspot.temporal.prediction import Ensemble

RATES = (Fraction(25), Fraction(30000, 1001), Fraction(50), Fraction(60))


def written_at(video: Path, path: Path, fps: Fraction) -> Path:
    """The video at another rate, nearly without loss: each moment shows what the original shows then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(video)) as old, av.open(str(path), "w") as new:
        source = old.streams.video[0]
        own_fps = Fraction(source.average_rate or 25)
        stream = new.add_stream("libx264", rate=fps, options={"crf": "12", "preset": "veryfast", "g": "24"})
        stream.width, stream.height = source.width, source.height
        number = 0
        for frame_number, frame in enumerate(old.decode(source)):
            while number / fps < (frame_number + 1) / own_fps:
                picture = frame.reformat(format="yuv420p")
                picture.pts, picture.time_base = number, 1 / fps
                new.mux(stream.encode(picture))
                number += 1
        new.mux(stream.encode())
    return path


def scored(run: Path, video: Path, out: Path, data: DataSelection, match: str, as_trained_at: Fraction | None) -> float:
    """mAP in % of the run on a video, which ``as_trained_at`` says to be at the rate of the training."""
    bundle = bundle_of([run])
    heads = bundle.heads
    if as_trained_at is not None:
        heads = tuple(replace(one, description=replace(one.description, fps=as_trained_at)) for one in heads)
    ensemble = Ensemble(heads, torch.device("cpu"), None)
    with RowMaker(bundle.features, ensemble.views, device=ensemble.device) as maker:
        for _ in predict_videos(ensemble, RowScorer(ensemble, maker, out), given_videos([video]), out=out):
            pass
    (done,) = [path for path in out.iterdir() if path.is_dir()]
    place = out / match
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(done, out / "moved")
    shutil.move(out / "moved", place)
    return 100 * evaluate_predictions(out, data, [match]).result.mean_ap


def table(run: Path, data: DataSelection, matches: Sequence[str]) -> None:
    """Prints the table, row by row."""
    print("| match | frames a second | rate ignored | brought to the rate of the training |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for match in matches:
            video = data.matches[match].video
            if video is None:
                raise SystemExit(f"{match}: has no video")
            for fps in RATES:
                place = Path(folder) / match / f"{float(fps):.5g}"
                written = written_at(video, place / "video.mp4", fps)
                ignored = scored(run, written, place / "ignored", data, match, fps)
                brought = scored(run, written, place / "brought", data, match, None)
                print(f"| {match} | {float(fps):.5g} | {ignored:.2f} | {brought:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--match", action="append", help="[default: the test matches]")
    options = parser.parse_args()
    torch.set_num_threads(1)  # the other core decodes
    data = DataSelection(options.data, load_label_set()).opened()
    table(options.run, data, options.match or data.splits.part("test"))


if __name__ == "__main__":
    main()
