"""Many runs from one file: the space of settings, the plan, its cost, the jobs, a budgeted search, and what is shown of
it.
"""

from .cost import costs
from .executors import job_runner
from .file import find_sweep
from .job import Job
from .plan import check_runs, dealt, plan_runs, record_sweep, run_sweep
from .progress import SweepProgress
from .search import search_space
from .space import read_space
from .stacks import left_alone, stack_size
from .tables import show_plan, show_results
