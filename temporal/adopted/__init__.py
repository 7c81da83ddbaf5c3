"""Models of other systems, whole: what their checkpoints hold becomes a run, which goes over a video as they do.

This room owns the readers of their checkpoints (one system a module), their clips, placing and merging. Their heads
are ordinary kinds of `heads`.
"""

from .found import Found
from .hub import checkpoint_path
from .network import ClipNetwork
from .recognise import recognise_whole
from .run import Adoption
from .settle import settled_labels, settled_procedure
from .video import AdoptedScorer, score_pictures
