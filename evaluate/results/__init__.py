"""What one, two or many sets of predictions are worth: an evaluation, a contest of two, a comparison of runs and
settings, folds and effects. This room combines scoring, uncertainty and diagnosis; reporting shows what it finds.
"""

from .comparison import Comparison, compare_runs
from .contest import Contest, contest
from .evaluation import Evaluation, evaluate_pairing, evaluate_predictions
from .scored_run import ComparedRun, learning_curve
from .settings import ComparedSetting
