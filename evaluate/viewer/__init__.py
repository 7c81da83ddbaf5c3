"""`ballspot view`: what the page shows, the local server behind it, and the page itself (page/).

The page restates the matching in JavaScript; browser tests hold the two to each other.
"""

from .server import ViewServer, resources_of
from .view import find_view, open_sides, sides_of
