"""What a GPU of NVIDIA needs to be kept busy: pictures that cross while it computes, work that is recorded once and
replayed, results that come back while the next batch runs. It knows tensors alone.
"""

from .copies import Uploaded, fetched, pinned, uploaded
from .graph import Graphed
