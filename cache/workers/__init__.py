"""One way of doing tasks beside one another: processes on this machine, Ray, or SLURM.

Tasks and results are paths on a disk that all workers share.
"""

from .pool import Executor, Tell, require_place
from .processes import deaf_start, end_with_parent, n_usable_cpus, peak_memory_mb, process_context
