"""Cuts the first minute of each rendered match into this folder: `python tests/matches/cut.py ../shared/data`.

Frames are decoded and encoded again one by one, so the cut is exact and frame i here is frame i there.
"""

import json
import sys
from fractions import Fraction
from pathlib import Path

import av

FRAMES = 1500
FPS = 25


def cut_video(source: Path, target: Path) -> None:
    """Writes the first FRAMES frames of ``source`` as H.264 with a key frame every two seconds."""
    with av.open(str(source)) as video, av.open(str(target), "w") as output:
        stream = output.add_stream("libx264", rate=FPS, options={"crf": "26", "preset": "veryslow", "g": "50"})
        stream.width, stream.height = video.streams.video[0].width, video.streams.video[0].height
        stream.pix_fmt = "yuv420p"
        for index, frame in enumerate(video.decode(video=0)):
            if index == FRAMES:
                break
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            frame.pict_type = av.video.frame.PictureType.NONE
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def cut_labels(source: Path, target: Path) -> None:
    """Writes the labels of the first FRAMES frames, otherwise unchanged."""
    labels = json.loads(source.read_text(encoding="utf-8"))
    end_ms = FRAMES * 1000 // FPS
    labels["annotations"] = [spot for spot in labels["annotations"] if int(spot["position"]) < end_ms]
    target.write_text(json.dumps(labels, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Cuts every match below the data root given as the first argument."""
    root, here = Path(sys.argv[1]), Path(__file__).parent
    for labels in sorted(root.rglob("Labels-ball.json")):
        folder = here / labels.parent.relative_to(root)
        folder.mkdir(parents=True, exist_ok=True)
        cut_video(labels.parent / "224p.mp4", folder / "224p.mp4")
        cut_labels(labels, folder / "Labels-ball.json")
    (here / "splits.toml").write_bytes((root / "splits.toml").read_bytes())


if __name__ == "__main__":
    main()
