"""Files that are whole or absent, and readers that refuse in one line what they cannot hold.

This room owns JSON, TOML, NumPy and safetensors files, locks, fingerprints, and the hints that errors end with.
"""

from .arrays import frame_numbers, read_arrays, whole_number
from .closable import Closable
from .faults import raise_if_system, reason_of, unreadable
from .files import (
    find_temporary,
    is_begun,
    is_file,
    is_temporary,
    json_text,
    make_folder,
    parse_json,
    parse_toml,
    read_json,
    read_toml,
    sync,
    whole_file,
    write_json,
    write_texts,
)
from .fingerprint import canonical_json, content_digest, file_digest, fingerprint, little_endian
from .hints import first_problem, nearest_name, path_hint
from .locks import is_locked, locked_file, locked_folder, take_lock
from .tensors import below, write_tensors
from .text import decode_text, existing_path, is_utf8, plain_name, read_content
