"""The features of matches on disk: one HDF5 file a match, many of them a feature set.

This room owns the store format, the part files that an extraction appends to, and all checks that need only the
files. It does not know how features are computed.
"""

from .journal import Journal, JournalRows, Segment, find_parts, part_path, read_header, remove_parts, store_of
from .layout import CHUNK_ROWS, FLIPPED_VIEW, ORIGINAL, Block, StoreHeader, rows_of_chunks
from .removal import removable_files, remove_files
from .sets import FeatureSet, find_sets, find_stores, open_feature_set, store_path
from .sharing import share_store
from .spec import DTYPES, MOST_MOTION, ComponentsSpec, EngineSpec, FeatureSpec, RegionSpec
from .store import FeatureStore, write_store
from .verify import verify
