"""What a bundle's header says, as a data format: every field with its type, unknown keys refused."""

from hashlib import sha256
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ...cache.code import parse_reference
from ...cache.disk import fingerprint
from ...cache.runs import SEEDS_BELOW

Text = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*$")]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=2**40)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class Part(BaseModel):
    """A piece of the header: immutable, unknown keys refused, types as they are in JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ClassMetrics(Part):
    """Average precision (0..1) of one class and its truths."""

    ap: Number
    n_truth: Count


class MetricsPart(Part):
    """What the run's metrics.json says of the head."""

    split: Literal["train", "valid", "test"]
    metric: Text
    fps: Number
    mean_ap: Number
    headline_ap: Number | None = None
    per_class: dict[Name, ClassMetrics]
    n_parameters: Count


class HeadPart(Part):
    """One head: its configuration, the widths of its feature sets, and the run that it comes from."""

    config: dict[Name, Any]
    dims: Annotated[list[Annotated[int, Field(ge=1, le=2**24)]], Field(min_length=1, max_length=64)]
    features_fingerprint: Digest
    checkpoint: Literal["best", "last"]
    best_epoch: Count
    n_epochs: Count
    run_key: Text
    seed: Annotated[int, Field(ge=0, lt=SEEDS_BELOW)]
    scaled: bool
    metrics: MetricsPart | None
    fps: Annotated[str, Field(pattern=r"^[1-9]\d{0,8}(/[1-9]\d{0,8})?$")] | None = None
    threshold: Number | None = None


class LabelSetPart(Part):
    """The classes in their order."""

    name: Name
    labels: Annotated[list[Name], Field(min_length=1, max_length=10_000)]
    headline_excludes: list[Name]
    labels_file: Name | None = None


class SplitsPart(Part):
    """The matches that the run was trained, validated and to be tested on."""

    train: list[Name]
    valid: list[Name]
    test: list[Name]

    @field_validator("train", "valid", "test")
    @classmethod
    def _names_stay_below(cls, names: list[str]) -> list[str]:
        for name in names:
            parts = PurePosixPath(name).parts
            if not parts or name.startswith("/") or "\\" in name or ".." in parts or ":" in parts[0]:
                raise ValueError(f"match {name!r} is not a path below a data root")
        return names


class WeightsPart(Part):
    """Where a backbone's weights come from: ``kind`` and, of a seed or a file, its ``name``; ``held`` says in here."""

    kind: Literal["random", "offline", "hub", "own", "file", "run", "unknown"]
    name: Name
    held: bool


class SetPart(Part):
    """One feature set: its extraction settings, whose digest is the fingerprint, and its backbone's weights.

    ``parent_dtype`` is the number type of the rows that components were applied to, "" where there are none.
    ``extraction`` is empty where nothing but the fingerprint is known.
    """

    name: Name
    fingerprint: Digest
    extraction: dict[Name, Any]
    engine: Text
    weights: WeightsPart
    parent_dtype: Literal["", "float16", "float32", "int8"]
    components_held: bool

    @model_validator(mode="after")
    def _is_what_it_says(self) -> Self:
        if self.extraction and fingerprint(self.extraction) != self.fingerprint:
            raise ValueError("the fingerprint is not that of the extraction settings")
        return self


class CodePart(Part):
    """The source of one file of a user's own code, whose SHA-256 the names of it end with."""

    name: Name
    sha256: Digest
    source: Annotated[str, Field(max_length=2**20)]

    @model_validator(mode="after")
    def _is_what_it_says(self) -> Self:
        if sha256(self.source.encode()).hexdigest() != self.sha256:
            raise ValueError("the code is not that of its digest")
        return self


class BundleHeader(Part):
    """All that a bundle says beside its tensors."""

    format: Text
    label_set: LabelSetPart
    heads: Annotated[list[HeadPart], Field(min_length=1, max_length=1000)]
    sets: Annotated[list[SetPart], Field(min_length=1, max_length=64)]
    postprocessing: dict[Name, dict[Name, Any]] | None
    splits: SplitsPart
    code: Annotated[list[CodePart], Field(max_length=64)] | None = None
    procedure: dict[Name, Any] | None = None
    tensors_sha256: Digest

    def code_of(self, name: str) -> bytes | None:
        """The source that a name of own code stands for, None where it is not here."""
        digest = parse_reference(name).digest
        found = (one.source.encode() for one in self.code or () if one.sha256 == digest)
        return next(found, None)

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        prints = [one.fingerprint for one in self.sets]
        whole = prints[0] if len(prints) == 1 else fingerprint({"sets": prints})
        for head in self.heads:
            if head.features_fingerprint != whole:
                raise ValueError("a head is of other features than the sets")
        if len(set(self.label_set.labels)) < len(self.label_set.labels):
            raise ValueError("a label is there twice")
        return self
