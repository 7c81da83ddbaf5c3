"""Stage one: the videos of matches become the stores of a feature set, each written whole, resumed if cut short."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..cache.console import ProgressLine, note
from ..cache.errors import BallspotError
from ..cache.files import make_folder
from ..cache.fingerprint import file_digest
from ..cache.journal import Journal, Segment, part_path, read_header, read_journals
from ..cache.sets import find_stores, store_path
from ..cache.store import ORIGINAL, Block, FeatureStore, StoreHeader, write_store
from ..evaluate.matches import Match
from .backbones import Backbone
from .decoders import DECODERS
from .prefetch import prefetched, read_batches
from .transforms import Preprocess
from .video import DecodingError, VideoProbe, VideoSource, probe_video

MAX_IRREGULARITY = 0.5


@dataclass(frozen=True)
class ExtractionJob:
    """How a set is made: the backbone, every how many frames a row, the batch, the decoders in the order to try."""

    backbone: Backbone
    device: torch.device
    stride: int = 1
    batch_rows: int = 16
    decoders: tuple[str, ...] = ("decord", "pyav")

    @property
    def extraction(self) -> dict[str, Any]:
        """What decides the features; its digest is the set's fingerprint."""
        return self.backbone.extraction(stride=self.stride)


@dataclass(frozen=True)
class Extracted:
    """One match's store after an extraction; `n_new_rows` of its rows were made now, in `seconds`."""

    match: str
    path: Path
    n_rows: int
    n_new_rows: int
    seconds: float


def extract_matches(matches: Sequence[Match], set_path: Path, job: ExtractionJob) -> list[Extracted]:
    """The stores of all `matches` in `set_path`: complete ones are kept, unfinished ones resumed, the rest made.

    All videos are probed before the first is decoded. Raises BallspotError for a set made with other settings, a match
    without a readable video, a store of another video, and a frame that no decoder can give.
    """
    make_folder(set_path)
    require_same_settings(set_path, job.extraction)
    waiting: list[tuple[Match, VideoProbe]] = []
    done: dict[str, Extracted] = {}
    for match in matches:
        if match.video is None:
            raise BallspotError(f"{match.folder}: match {match.name!r} has no video; put one there or leave it out")
        found = finished_store(match, match.video, store_path(set_path, match.name))
        if found is not None:
            done[match.name] = found
        else:
            waiting.append((match, probe_video(match.video)))
    if done:
        note(f"{set_path}: {len(done)} of {len(matches)} matches were complete")
    for number, (match, probe) in enumerate(waiting, start=1):
        title = f"{match.name} ({number} of {len(waiting)})"
        done[match.name] = extract_match(match, probe, store_path(set_path, match.name), job, title=title)
    return [done[match.name] for match in matches]


def require_same_settings(set_path: Path, extraction: dict[str, Any]) -> None:
    """Raises BallspotError, naming what differs, when a store or part file in the set was made with other settings."""
    for path in find_stores(set_path).values():
        with FeatureStore.open(path) as store:
            _require_same(set_path, store.extraction, extraction)
    for path in sorted(set_path.rglob("*.h5*.part")):
        header = read_header(path)
        if header is not None:
            _require_same(set_path, dict(header.extraction), extraction)


def finished_store(match: Match, video: Path, path: Path) -> Extracted | None:
    """The match's complete store, None when there is none. Raises BallspotError when it is of another video."""
    if not path.exists():
        return None
    with FeatureStore.open(path) as store:
        n_bytes = video.stat().st_size
        if store.match != match.name or store.header.video_bytes != n_bytes:
            raise BallspotError(
                f"{path}: was made from {store.match!r}, {store.header.video_name} ({store.header.video_bytes} bytes), "
                f"not from {video} ({n_bytes} bytes); remove the store or extract with another --set"
            )
        return Extracted(match=match.name, path=path, n_rows=store.n_rows, n_new_rows=0, seconds=0.0)


def extract_match(match: Match, probe: VideoProbe, path: Path, job: ExtractionJob, *, title: str) -> Extracted:
    """The match's new store at `path`. A decoder that fails gives way to the next, and the match is begun again.

    Raises BallspotError when none can read the video, or when another process is extracting the match.
    """
    started = time.monotonic()
    if probe.irregularity > MAX_IRREGULARITY:
        note(f"{match.name}: variable frame rate: labels by time miss their frames by up to {probe.irregularity:.1f}")
    n_missing = probe.n_container_frames - probe.n_frames - probe.n_hidden
    if n_missing > 0:
        note(f"{match.name}: {n_missing} frames that {probe.path.name} announces are not in it; was it cut short?")
    n_rows = -(-probe.n_frames // job.stride)
    header = StoreHeader(
        match=match.name,
        fps=probe.fps,
        n_video_frames=probe.n_frames,
        n_rows=n_rows,
        dim=job.backbone.dim,
        extraction=job.extraction,
        video_name=probe.path.name,
        video_bytes=probe.n_bytes,
        video_sha256=file_digest(probe.path),
    )
    begun = read_header(part_path(path))
    first = [begun.decoder] if begun is not None and begun.decoder in job.decoders else []
    errors = []
    for decoder in dict.fromkeys([*first, *job.decoders]):
        try:
            with DECODERS[decoder](probe) as source:
                named = replace(header, decoder=source.name, decoder_version=source.version)
                with Journal.open(part_path(path), named) as journal:
                    n_new_rows = n_rows - journal.next_row
                    if not path.exists():  # else another process finished it while this one waited
                        fill_journal(journal, source, job, title=title)
                        write_store(path, header=journal.header, blocks=read_journals([journal.path]))
                    journal.remove()
                return Extracted(match.name, path, n_rows, n_new_rows, seconds=time.monotonic() - started)
        except DecodingError as error:
            errors.append(f"{decoder}: {error}")
            if decoder != job.decoders[-1]:
                note(f"{match.name}: {error}; trying the next decoder")
            part_path(path).unlink(missing_ok=True)
    raise BallspotError(f"match {match.name!r}: {errors[-1].partition(': ')[2]}")


def fill_journal(journal: Journal, source: VideoSource, job: ExtractionJob, *, title: str) -> None:
    """Appends the rows that the journal's segment still lacks, decoding beside the backbone."""
    if journal.is_full:
        return
    rest = Segment(journal.next_row, journal.segment.stop)
    n_rows = journal.segment.stop - journal.segment.start
    backbone = job.backbone
    preprocess = Preprocess(
        backbone.size,
        mean=backbone.mean,
        std=backbone.std,
        interpolation=backbone.interpolation,
        device=job.device,
    )
    batches = read_batches(source, rest, stride=job.stride, batch_rows=job.batch_rows)
    with ProgressLine(title, n_rows, unit="frames", done=journal.next_row - journal.segment.start) as progress:
        for batch in prefetched(batches):
            with torch.inference_mode():
                features = backbone.model(preprocess(torch.from_numpy(batch.pictures)))  # (B, H, W, 3) -> (B, D)
            with np.errstate(over="ignore"):  # an overflow is told as such below
                rows = features[: len(batch.frame_index)].float().cpu().numpy().astype(np.float16)
            if not np.isfinite(rows).all():
                raise BallspotError(
                    f"match {journal.header.match!r}: a feature of frame {batch.frame_index[0]} or the next "
                    f"{len(rows) - 1} does not fit float16; check the weights"
                )
            journal.append(Block(batch.frame_index, {ORIGINAL: rows}))
            progress.advance(len(rows))


def _require_same(set_path: Path, there: dict[str, Any], here: dict[str, Any]) -> None:
    for name in sorted(there.keys() | here.keys()):
        if there.get(name) != here.get(name):
            raise BallspotError(
                f"{set_path}: holds features of other settings ({name} is {_short(there.get(name))} there and "
                f"{_short(here.get(name))} here); choose another --set or --out, or remove that folder"
            )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:12]}..."
