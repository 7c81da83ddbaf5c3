"""What is trained, wherever it lies: a run, a folder of its seeds, or a bundle, ready to predict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...cache.disk import read_json
from ...cache.errors import BallspotError
from ...cache.runs import RunFolder, seed_folders
from ...evaluate.dataset import OF_RUN, Splits, read_threshold, recorded_splits, threshold_in
from ..decoding import ClassDecoding
from ..heads import Checkpoint, read_checkpoint
from .file import is_bundle, read_bundle_file


@dataclass(frozen=True)
class Trained:
    """Heads whose scores are averaged, the keys of their runs, and the run's own split.

    ``tuned`` is the post-processing that a bundle brings; a run's lies beside it and is asked for by name.
    ``threshold`` is the confidence from which on spots were best on the validation matches, None where it is not known.
    """

    checkpoints: tuple[Checkpoint, ...]
    run_keys: tuple[str, ...]
    splits: Splits
    tuned: Mapping[str, ClassDecoding] | None = None
    threshold: float | None = None


def read_trained(path: Path, *, checkpoint: str = "best") -> Trained:
    """The heads in a run's folder, in those of its seeds, or in a bundle.

    Raises BallspotError for what is neither, and for a bundle of the other ``checkpoint`` of its run.
    """
    if not is_bundle(path):
        runs = [RunFolder(folder) for folder in seed_folders(path)]
        keys = tuple(run.entry("key", str) for run in runs)
        splits = recorded_splits(runs[0].record(), str(runs[0].path / "run.json"))
        kept = tuple(read_checkpoint(run.path / f"{checkpoint}.safetensors") for run in runs)
        return Trained(kept, keys, splits, threshold=threshold_of(path))
    bundle = read_bundle_file(path)
    for head in bundle.header.heads:
        if head.checkpoint != checkpoint:
            raise BallspotError(f"{path}: holds the {head.checkpoint} checkpoint; give --checkpoint {head.checkpoint}")
    parts = bundle.header.splits
    splits = Splits(tuple(parts.train), tuple(parts.valid), tuple(parts.test), source=OF_RUN)
    keys = tuple(head.run_key for head in bundle.header.heads)
    return Trained(bundle.heads, keys, splits, bundle.postprocessing, bundle.header.heads[0].threshold)


def threshold_of(path: Path, *, others: Sequence[Path] = (), tuned: Path | None = None) -> float | None:
    """The threshold that was chosen for a run, or for a ``tuned`` file's post-processing; None for several runs."""
    if tuned is not None:
        return threshold_in(read_json(tuned), tuned)
    folders = seed_folders(path)
    return read_threshold(folders[0]) if len(folders) == 1 and not others else None
