"""Several runs of one shape trained at once on one device: their weights stacked, each with its own chance.

A run that is trained so has the folder, the log, the checkpoints and, to the rounding of sums, the numbers that it has
by itself.
"""

from .epoch import train_stacked_epoch
from .fit import shape_key, why_alone
from .run import StackedRun, run_stacked
from .stack import Stack
