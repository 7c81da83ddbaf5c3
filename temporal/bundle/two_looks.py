"""AdaSpot's network of two looks in a run or bundle: its settings, its weights, and what its features hang on."""

from pathlib import Path

from ...cache.errors import BallspotError
from ...cache.stores import EngineSpec
from ...extract.backbone import TWO_LOOKS, Settled, load_into, parse_weights, read_state_dict, weights_digest
from ...extract.regions import RegionNetwork, RegionSettings
from ...extract.rows import BundledFeatures
from ..config import Procedure


def region_settings(procedure: Procedure, backbone: str) -> RegionSettings:
    """How an adopted AdaSpot looks at pictures. Raises BallspotError for sizes that do not go together."""
    looks = procedure.regions
    if looks is None:
        raise ValueError(f"{procedure.system}: has one look")
    return RegionSettings(
        backbone=backbone.removesuffix(TWO_LOOKS),
        high=procedure.size,
        low=looks.low,
        region=looks.region,
        high_crop=looks.high_crop,
        low_crop=looks.low_crop,
        threshold=looks.threshold,
        padding=looks.conv_padding,
    )


def features_of_two_looks(
    path: Path, settled: Settled, procedure: Procedure | None, *, name: str, with_backbone: bool
) -> BundledFeatures:
    """What the weights file at ``path`` of an adopted run makes features of."""
    if procedure is None or procedure.regions is None:
        raise BallspotError(f"{path}: is a network of two looks without adopted.json beside it; adopt it again")
    state = {key: value for key, value in read_state_dict(path).items() if not key.endswith("num_batches_tracked")}
    spec = region_settings(procedure, settled.backbone).features(weights_digest(state), stride=settled.stride)
    held = state if with_backbone else None
    return BundledFeatures(name, spec.fingerprint, spec, EngineSpec(""), "run", name, held, None)


def region_network(procedure: Procedure, features: BundledFeatures, weights: str | None = None) -> RegionNetwork:
    """The network of two looks of an adopted run or bundle, its weights from ``weights`` where they are given.

    Raises BallspotError where there are none, and for others than those that the head was trained with.
    """
    source = f"bundled {features.spec.backbone}"
    state = features.weights
    if weights is not None:
        path = parse_weights(weights).path
        source, state = f"--weights {weights}", None if path is None else read_state_dict(path)
    if state is None:
        raise BallspotError(
            f"{source}: AdaSpot's two backbones are not there; give the adopted run's folder with --weights, or export "
            "again with --with-backbone"
        )
    network = RegionNetwork(region_settings(procedure, features.spec.backbone))
    load_into(network, state, source=source, classifier=())
    found = weights_digest(network.state_dict())
    if found != features.spec.weights_sha256:
        raise BallspotError(
            f"{source}: weights of digest {found[:12]}, the head was trained with {features.spec.weights_sha256[:12]}; "
            "give those with --weights"
        )
    return network
