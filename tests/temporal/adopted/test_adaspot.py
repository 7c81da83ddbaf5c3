"""AdaSpot whole: golden vectors of its own code, the family of checkpoints that its code can save, and its runs."""

from ballspot.extract.regions.network import RegionNetwork
from ballspot.temporal.adopted import ClipNetwork, recognise_whole
from ballspot.temporal.adopted.adaspot import RegionFeatures
from ballspot.temporal.bundle import region_settings
from ballspot.temporal.heads.head import build_head

from .golden import CPU, folder_of

CASE = "adaspot_rny002_gsf_ball"


def whole() -> tuple[ClipNetwork, RegionNetwork]:
    """The golden case's network by its config.json, as `adopt` and `predict` make it."""
    found = recognise_whole(folder_of(CASE) / "checkpoint.pt")
    looks = RegionNetwork(region_settings(found.procedure, found.backbone))
    looks.load_state_dict(dict(found.network_state))
    head = build_head(found.head, dims=(found.dim,), n_labels=found.n_labels, clip_frames=found.procedure.clip_rows)
    head.load_state_dict(dict(found.head_state))
    return ClipNetwork(RegionFeatures(looks, CPU), head.eval(), found.procedure, CPU), looks
