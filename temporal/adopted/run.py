"""An adopted model as a run: written from what a checkpoint holds, and made a network again."""

from dataclasses import dataclass
from pathlib import Path

import torch

from ...cache.disk import file_digest, fingerprint
from ...cache.errors import BallspotError
from ...cache.runs import RunFolder
from ...evaluate.dataset import LabelSet
from ...extract.backbone import RUN_BACKBONE, Settled, assemble, load_model, save_backbone, weights_digest
from ...extract.rows import BundledFeatures
from ..bundle import features_of_two_looks, region_network
from ..config import ClipSection, Config, Procedure, as_table, read_procedure, write_procedure
from ..heads import HeadDescription, Progress, SpottingHead, misfit, write_checkpoint
from ..systems import Found
from ..training import BEST, adopted_record
from .network import INTERPOLATION, BackboneFeatures, ClipNetwork, RegionFeatures


@dataclass(frozen=True)
class Adoption:
    """A checkpoint's model with the settings and the classes that it is used with."""

    found: Found
    procedure: Procedure
    label_set: LabelSet
    source: Path

    def __post_init__(self) -> None:
        """Raises BallspotError where classes or clip length are not the checkpoint's."""
        found, n_labels = self.found, len(self.label_set)
        if n_labels != found.n_labels:
            raise BallspotError(
                f"{self.source}: its head tells {found.n_labels} classes apart, label set {self.label_set.name!r} has "
                f"{n_labels}; give --labels FILE with the {found.n_labels} in the order of the training"
            )
        if found.clip_rows is not None and self.procedure.clip_rows != found.clip_rows:
            raise BallspotError(
                f"{self.source}: its head is for clips of {found.clip_rows} rows, not {self.procedure.clip_rows}; "
                "leave --clip-rows out"
            )

    @property
    def config(self) -> Config:
        """The run's configuration: clips and windows over stored rows that are nearest to the system's own."""
        procedure, found = self.procedure, self.found
        pad_frames = min(-procedure.first_row, procedure.clip_rows - 1)
        section = found.prediction.model_copy(
            update={"window_overlap": procedure.overlap_rows / procedure.clip_rows, "phases": "one"}
        )
        clips = ClipSection(
            clip_frames=procedure.clip_rows, clip_stride=procedure.stride, pad_frames=pad_frames, scaling="none"
        )
        return Config.model_validate({"clips": clips, "head": found.head, "prediction": section.model_dump()})

    def key(self, config: Config) -> str:
        """The digest of all that decides what the run predicts."""
        return fingerprint(
            {
                "adopted": self.procedure.model_dump(mode="json"),
                "backbone": [self.found.backbone, weights_digest(dict(self.found.backbone_state))],
                "network": weights_digest(dict(self.found.network_state)),
                "head": weights_digest(dict(self.found.head_state)),
                "config": as_table(config),
                "labels": self.label_set.as_record(),
            }
        )

    def write(self, path: Path, *, command: str) -> None:
        """Writes the run's folder; a write that was broken off is taken up again.

        Raises BallspotError where the folder holds something else.
        """
        run, config = RunFolder(path, option="--out"), self.config
        features = {"set": self.found.backbone, "fingerprint": "", "files": {}}
        record = {
            **adopted_record(self.label_set, command=command, features=features),
            "adopted": {
                "system": self.found.system,
                "checkpoint": self.source.name,
                "sha256": file_digest(self.source),
            },
        }
        self._require_same(path)
        with run.at_work(waits=False):
            run.prepare(key=self.key(config), record=record, config=as_table(config))
            procedure = self.procedure
            uncropped = None if procedure.crop is None else procedure.size
            settled = Settled(
                self.found.backbone,
                procedure.seen,
                procedure.stride,
                uncropped=uncropped,
                interpolation=INTERPOLATION,
                fps=procedure.rate,
            )
            save_backbone(path / RUN_BACKBONE, self.found.network_state or self.found.backbone_state, settled)
            wanted = HeadDescription(
                config, self.label_set, (self.found.dim,), _fingerprint(path, settled, procedure), procedure.rate
            )
            write_procedure(path, procedure)  # first: without it the head would pass for one of ours
            write_checkpoint(
                path / BEST, description=wanted, head=self._head(wanted), progress=Progress(), scaling=None
            )
            run.update(status="adopted")

    def _require_same(self, path: Path) -> None:
        """Raises BallspotError, naming the first setting, where a run was adopted to ``path`` with others."""
        there = read_procedure(path)
        if there is None or there == self.procedure:
            return
        ours, theirs = self.procedure.model_dump(mode="json"), there.model_dump(mode="json")
        name = next(name for name in ours if ours[name] != theirs.get(name))
        raise BallspotError(
            f"{path}: was adopted with {name} {theirs.get(name)!r}, not {ours[name]!r}; choose another --out"
        )

    def _head(self, description: HeadDescription) -> SpottingHead:
        problem = misfit(description, self.found.head_state)
        if problem:
            raise BallspotError(f"{self.source}: its head{problem}")
        with torch.random.fork_rng(devices=[]):
            head = description.build()
        head.load_state_dict(dict(self.found.head_state))
        return head.eval()


def network_of(
    procedure: Procedure, features: BundledFeatures, head: SpottingHead, *, device: torch.device, weights: str | None
) -> ClipNetwork:
    """The whole network of an adopted model. Raises BallspotError as `BundledFeatures.backbone` does."""
    if procedure.network == "adaspot":
        looks = RegionFeatures(region_network(procedure, features, weights), device)
        return ClipNetwork(looks, head.to(device).eval(), procedure, device)
    backbone = features.backbone(device=device, weights=weights, folds=False)
    return ClipNetwork(BackboneFeatures(backbone, device), head.to(device).eval(), procedure, device)


def _fingerprint(run: Path, settled: Settled, procedure: Procedure) -> str:
    """That of the features which the head reads, as `extract --weights RUN` makes them where a store can hold them."""
    if procedure.network == "adaspot":
        made = features_of_two_looks(run / RUN_BACKBONE, settled, procedure, name=run.name, with_backbone=False)
        return made.fingerprint
    loaded = load_model(settled.spec(str(run / RUN_BACKBONE)))
    backbone = assemble(loaded, torch.device("cpu"))
    return backbone.features(stride=settled.stride).fingerprint
