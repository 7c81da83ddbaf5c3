"""Drawn matches for tests and for scale: every picture says its frame number, and events show as marks."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import tomli_w

from ...cache.disk import make_folder, whole_file, write_json
from ...cache.errors import BallspotError
from ...cache.times import position_of
from ...evaluate.dataset import LABELS_FILE

SN_BAS_COUNTS = {  # the seven matches of SN-BAS
    "PASS": 4703,
    "DRIVE": 4067,
    "HEADER": 685,
    "HIGH PASS": 778,
    "OUT": 590,
    "CROSS": 320,
    "THROW IN": 392,
    "SHOT": 190,
    "BALL PLAYER BLOCK": 220,
    "PLAYER SUCCESSFUL TACKLE": 73,
    "FREE KICK": 26,
    "GOAL": 14,
}

SN_BAS_FRAMES = 1_022_160  # of those matches, at 25 fps
EVENTS_A_SECOND = 25 * sum(SN_BAS_COUNTS.values()) / SN_BAS_FRAMES
MARK_FRAMES = 4
SMALLEST = (64, 80)


@dataclass(frozen=True)
class DrawnEvent:
    """One event of a drawn match: its frame, class and side."""

    frame_index: int
    label: str
    team: str


def draw_events(n_frames: int, fps: Fraction, *, rng: np.random.Generator) -> list[DrawnEvent]:
    """Events as dense as in SN-BAS, classes drawn in its proportions, no two in one frame, sorted."""
    n_events = min(max(round(EVENTS_A_SECOND * float(n_frames / fps)), 1), n_frames)
    frames = np.sort(rng.choice(n_frames, size=n_events, replace=False))
    counts = np.array(list(SN_BAS_COUNTS.values()), dtype=np.float64)
    labels = rng.choice(list(SN_BAS_COUNTS), size=n_events, p=counts / counts.sum())
    teams = rng.choice(["left", "right"], size=n_events)
    return [DrawnEvent(int(f), str(k), str(t)) for f, k, t in zip(frames, labels, teams, strict=True)]


def draw_frame(frame_index: int, size: tuple[int, int], marks: dict[int, list[tuple[int, float]]]) -> np.ndarray:
    """The luma of one picture, uint8 (height, width): its number above, a ball, and below the marks of near events.

    Class k lights the k-th of twelve fields of the bottom quarter, most at the event's frame, less up to 4 frames off.
    """
    height, width = size
    luma = np.full((height, width), 90, dtype=np.uint8)
    luma[height // 4 :: max(height // 8, 1)] = 105
    radius = max(height // 20, 2)
    x = radius + round((width - 2 * radius) * (0.5 + 0.45 * np.sin(frame_index / 37)))
    y = round(height * (0.5 + 0.15 * np.cos(frame_index / 23)))
    luma[y - radius : y + radius, max(x - radius, 0) : x + radius] = 200
    for class_index, strength in marks.get(frame_index, []):
        field = width // len(SN_BAS_COUNTS)
        luma[3 * height // 4 :, class_index * field : (class_index + 1) * field] = round(90 + 145 * strength)
    draw_number(luma, frame_index)
    return luma


def write_video(
    path: Path, n_frames: int, *, fps: Fraction, size: tuple[int, int], events: list[DrawnEvent], gop: int = 12
) -> None:
    """Writes the drawn pictures as H.264 with B-frames and a key frame every `gop` frames; whole or not at all.

    Raises BallspotError as `require_drawable`.
    """
    require_drawable(path, n_frames, size)
    height, width = size
    marks = _marks(events)
    with whole_file(path) as temporary, av.open(str(temporary), "w", format=_container(path)) as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = 1 / fps
        stream.codec_context.gop_size = gop
        stream.codec_context.thread_count = 1
        stream.options = {"preset": "ultrafast", "bf": "2", "crf": "23", "sc_threshold": "0"}
        chroma = np.full((height // 2, width), 118, dtype=np.uint8)
        for frame_index in range(n_frames):
            picture = np.concatenate([draw_frame(frame_index, size, marks), chroma])
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts, frame.time_base = frame_index, 1 / fps
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def require_drawable(path: Path, n_frames: int, size: tuple[int, int]) -> None:
    """Raises BallspotError when the size is odd or under 64x80, or the frames are none or more than can be numbered."""
    height, width = size
    if height % 2 or width % 2 or height < SMALLEST[0] or width < SMALLEST[1]:
        raise BallspotError(f"--size {height}x{width}: must be even and at least {SMALLEST[0]}x{SMALLEST[1]} pixels")
    if not 0 < n_frames <= 2**N_BITS:
        raise BallspotError(f"{path}: {n_frames} frames; must be 1 to {2**N_BITS}, the most that a picture can number")


def synthesize(
    out: Path, *, n_matches: int, minutes: float, fps: Fraction, size: tuple[int, int], seed: int
) -> list[str]:
    """Writes a data root of drawn matches with labels and splits.toml; the match names come back.

    Raises BallspotError when `out` holds something already, and as `require_drawable`, before anything is written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BallspotError(f"{out}: exists and is not empty; choose another folder")
    n_frames = round(minutes * 60 * fps)
    require_drawable(out, n_frames, size)
    names = [f"synth/drawn/match-{number:02d}" for number in range(1, n_matches + 1)]
    for number, name in enumerate(names):
        events = draw_events(n_frames, fps, rng=np.random.default_rng([seed, number]))
        folder = make_folder(out / name)
        write_video(folder / f"{size[0]}p.mp4", n_frames, fps=fps, size=size, events=events)
        write_json(folder / LABELS_FILE, label_document(name, events, fps))
    with whole_file(out / "splits.toml") as temporary:
        temporary.write_text(tomli_w.dumps(split_names(names)), encoding="utf-8")
    return names


def label_document(name: str, events: list[DrawnEvent], fps: Fraction) -> dict[str, object]:
    """The content of Labels-ball.json; positions are the middle of their frames."""
    annotations = []
    for event in events:
        position_ms = position_of(event.frame_index, fps)
        seconds = position_ms // 1000
        annotations.append(
            {
                "gameTime": f"1 - {seconds // 60:02d}:{seconds % 60:02d}",
                "label": event.label,
                "position": str(position_ms),
                "team": event.team,
                "visibility": "visible",
            }
        )
    return {"UrlLocal": name, "UrlYoutube": "", "halftime": "1 - 45:00", "annotations": annotations}


def split_names(names: list[str]) -> dict[str, list[str]]:
    """Of n matches in order: a quarter, at least one, test, then one valid, the first ones train; one alone trains."""
    n_test = max(len(names) // 4 + (len(names) > 4), 1) if len(names) > 1 else 0
    n_valid = 1 if len(names) > 2 else 0
    n_train = len(names) - n_valid - n_test
    return {"train": names[:n_train], "valid": names[n_train : n_train + n_valid], "test": names[n_train + n_valid :]}


def _marks(events: list[DrawnEvent]) -> dict[int, list[tuple[int, float]]]:
    order = list(SN_BAS_COUNTS)
    marks: dict[int, list[tuple[int, float]]] = {}
    for event in events:
        for distance in range(-MARK_FRAMES, MARK_FRAMES + 1):
            strength = 1 - abs(distance) / (MARK_FRAMES + 1)
            marks.setdefault(event.frame_index + distance, []).append((order.index(event.label), strength))
    return marks


def _container(path: Path) -> str:
    return {".mkv": "matroska", ".webm": "webm"}.get(path.suffix, "mp4")


N_COLUMNS = 10
N_BITS = 20
DARK, LIGHT = 20, 235


def draw_number(luma: np.ndarray, number: int) -> None:
    """Draws `number` (0 to 2**20 - 1) into the top quarter of a picture's luma, uint8 (height, width), in place.

    Two rows of ten blocks hold the bits, lowest first; two more hold their complement, so that a picture which is not
    such a code is told from one. Raises ValueError for a number that is out of range.
    """
    if not 0 <= number < 2**N_BITS:
        raise ValueError(f"{number} does not fit into {N_BITS} bits")
    bits = (number >> np.arange(N_BITS)) & 1
    rows = np.concatenate([bits, 1 - bits]).reshape(-1, N_COLUMNS)  # (4, 10)
    block_height, block_width = _block(luma.shape)
    code = np.where(rows, LIGHT, DARK).astype(np.uint8).repeat(block_height, axis=0).repeat(block_width, axis=1)
    luma[: code.shape[0], : code.shape[1]] = code


def _block(shape: tuple[int, ...]) -> tuple[int, int]:
    return shape[0] // 16, shape[1] // N_COLUMNS
