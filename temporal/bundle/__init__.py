"""A trained run as one file for others: heads, how their features are made, and the backbone.

Also its model card, its ONNX form, and the hub.
"""

from .bundle import Bundle, bundle_of, load_bundle, open_bundle, write_bundle
from .card import write_card
from .file import is_bundle, read_bundle_file
from .header import BundleHeader
from .hub import asking_hub, is_plain_path, pull, push
from .onnx import export_backbone, export_head, require_onnx
from .run_features import sets_of_run
from .trained import read_trained, threshold_of
from .two_looks import features_of_two_looks, region_network, region_settings
