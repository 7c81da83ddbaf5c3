"""Code of users: how it is named, the digest of its file, where it lies now, and whether it may run.

This room finds, checks and loads it; what a head, a loss or a backbone must be is decided where each is used.
"""

from .loading import blamed, called, is_memory, load_code, wanted_names
from .places import CODE_FOLDER, PLACES_FILE, allow_code, copy_code, held_source, keep_code, kept_copy, settle_code
from .reference import (
    SHOWN_DIGITS,
    is_reference,
    moved_table,
    parse_reference,
    pin_code,
    portable,
    portable_table,
    shown,
)
from .trust import TRUST_VARIABLE, named_code, take_over
