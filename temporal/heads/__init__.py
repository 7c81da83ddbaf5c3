"""Heads in one shape, features (B, T, D) in and what is said of every token out, and their checkpoints.

A new trunk is one module here and one line in head.py.
"""

from .checkpoints import (
    Checkpoint,
    HeadDescription,
    Progress,
    misfit,
    read_checkpoint,
    restore,
    write_checkpoint,
)
from .downsampling import token_frames
from .dropout import masks_of_runs
from .head import HeadOutput, SpottingHead, WholeHead, build_head, n_parameters, sketch_device
from .warm_start import WarmStart
