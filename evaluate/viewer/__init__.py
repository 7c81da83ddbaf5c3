"""`ballspot view`: what the page shows, the local server behind it, and the page itself (page/).

The page restates the matching in JavaScript; browser tests hold the two to each other.
"""

from .curves import Curves, read_curves
from .desk import EditDesk
from .server import ViewServer, resources_of
from .session import Session
from .training import Trainer, learned_lines
from .view import View, find_view, open_sides, sides_of
