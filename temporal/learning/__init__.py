"""From corrected labels to a better head in seconds: a run that begins with another one, and what it changes.

The old run stays as it is; the new one lies beside it.
"""

from .learn import LearnPlan, compare_spots, learn
