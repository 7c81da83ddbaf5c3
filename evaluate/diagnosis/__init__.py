"""Why a number is what it is: kinds of mistakes, operating points, faults of form, the worst misses.

Intervals on all of these come from the draws of evaluate.uncertainty.
"""

from .bounds import NONE, TIMINGS
from .diagnosis import CURVE_S, Diagnosis, diagnose
from .mistakes import FIXES, KINDS
from .pitfalls import Pitfall, find_pitfalls
from .worst import ClassMistakes, HowMany, Mistake, worst_mistakes
