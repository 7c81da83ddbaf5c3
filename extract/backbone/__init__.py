"""Pictures to features: timm models with weights of a known digest, temporal shift, pooling, the engines that compute
them, and checkpoints of other systems. It knows neither labels nor stores.
"""

from .engines import HALF_TOLERANCES, Engine, TorchEngine, default_batch_rows, make_engine, normalisation, normalised
from .foreign import Settled, own_settings, recognise, save_backbone, settle, unwrapped
from .load import Backbone, Loaded, assemble, feature_dim, load_backbone, load_model, picture_settings, shifted_model
from .pooling import GridPooling, WithStrength, require_cells
from .spec import BackboneSpec
from .temporal_shift import TWO_LOOKS
from .transforms import INTERPOLATIONS, Photo, fitted, parse_views, resize, resized_part, see
from .weights import (
    RUN_BACKBONE,
    UNREADABLE,
    first_line,
    hub_silence,
    load_into,
    parse_weights,
    read_state_dict,
    weights_digest,
)
from .window_engine import Centre, WindowEngine, require_margin, window_engine
