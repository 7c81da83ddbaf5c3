"""Models of other systems, whole: what their checkpoints hold becomes a run, which goes over a video as they do.

This room owns their clips, placing and merging, and where checkpoints come from. What a checkpoint holds is read in
`systems`; the heads are ordinary kinds of `heads`.
"""

from .from_bundle import is_own_bundle, run_of_bundle
from .hub import checkpoint_path
from .network import ClipNetwork
from .run import Adoption
from .settle import labels_remark, settled_labels, settled_procedure
from .video import AdoptedScorer, score_pictures
