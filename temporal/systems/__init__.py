"""Checkpoints of other systems, read: whose they are, and what they hold in ballspot's terms; one system a module.

A new system is one module here and its place in recognise.py.
"""

from .found import Found
from .recognise import SETTINGS_FILE, recognise_whole
