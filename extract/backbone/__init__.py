"""Pictures to features: timm models with weights of a known digest, temporal shift, pooling, the engines that compute
them, and checkpoints of other systems. It knows neither labels nor stores.
"""

from .engines import Engine, default_batch_rows, make_engine, normalisation, normalised
from .foreign import Settled, own_settings, save_backbone, settle
from .load import Backbone, Loaded, assemble, feature_dim, load_backbone, load_model, picture_settings
from .spec import BackboneSpec
from .transforms import INTERPOLATIONS, Photo, parse_views, resize, see
from .weights import RUN_BACKBONE, first_line, hub_silence, load_into, parse_weights, weights_digest
from .window_engine import WindowEngine, require_margin, window_engine

__all__ = [
    "INTERPOLATIONS",
    "RUN_BACKBONE",
    "Backbone",
    "BackboneSpec",
    "Engine",
    "Loaded",
    "Photo",
    "Settled",
    "WindowEngine",
    "assemble",
    "default_batch_rows",
    "feature_dim",
    "first_line",
    "hub_silence",
    "load_backbone",
    "load_into",
    "load_model",
    "make_engine",
    "normalisation",
    "normalised",
    "own_settings",
    "parse_views",
    "parse_weights",
    "picture_settings",
    "require_margin",
    "resize",
    "save_backbone",
    "see",
    "settle",
    "weights_digest",
    "window_engine",
]
