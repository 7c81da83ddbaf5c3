"""What is trained, wherever it lies: a run, a folder of its seeds, or a bundle, ready to predict."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...cache.errors import BallspotError
from ...cache.runs import RunFolder, seed_folders
from ...evaluate.dataset import OF_RUN, Splits, recorded_splits
from ..decoding import ClassDecoding
from ..heads import Checkpoint, read_checkpoint
from .file import is_bundle, read_bundle_file


@dataclass(frozen=True)
class Trained:
    """Heads whose scores are averaged, the keys of their runs, and the run's own split.

    ``tuned`` is the post-processing that a bundle brings; a run's lies beside it and is asked for by name.
    """

    checkpoints: tuple[Checkpoint, ...]
    run_keys: tuple[str, ...]
    splits: Splits
    tuned: Mapping[str, ClassDecoding] | None = None


def read_trained(path: Path, *, checkpoint: str = "best") -> Trained:
    """The heads in a run's folder, in those of its seeds, or in a bundle.

    Raises BallspotError for what is neither, and for a bundle of the other ``checkpoint`` of its run.
    """
    if not is_bundle(path):
        runs = [RunFolder(folder) for folder in seed_folders(path)]
        keys = tuple(run.entry("key", str) for run in runs)
        splits = recorded_splits(runs[0].record(), str(runs[0].path / "run.json"))
        kept = tuple(read_checkpoint(run.path / f"{checkpoint}.safetensors") for run in runs)
        return Trained(kept, keys, splits)
    bundle = read_bundle_file(path)
    for head in bundle.header.heads:
        if head.checkpoint != checkpoint:
            raise BallspotError(f"{path}: holds the {head.checkpoint} checkpoint; give --checkpoint {head.checkpoint}")
    parts = bundle.header.splits
    splits = Splits(tuple(parts.train), tuple(parts.valid), tuple(parts.test), source=OF_RUN)
    return Trained(bundle.heads, tuple(head.run_key for head in bundle.header.heads), splits, bundle.postprocessing)
