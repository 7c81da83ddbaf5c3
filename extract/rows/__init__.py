"""Video and backbone together: rows of features, segment by segment, written into stores.

This room owns the extraction job, its worker processes, principal components, making the rows of a single video anew,
and feature arrays that others made.
"""

from .arrays import ArrayFile, Reading, export_arrays, find_arrays, import_arrays
from .crew import CLUSTER_CPUS_A_GPU, MAX_AUTO_WORKERS, SEGMENTS_A_DECODER, crew_of, crew_of_engines, n_workers_for
from .decoders import Decoders, gpu_crew, n_decoders_for
from .extraction import ExtractionError, extract_matches, videos_of
from .job import AUTO_DECODER, ExtractionJob, Recipe, Settings
from .names import default_set_name, extract_options, require_set_name
from .pca import FIT_FILE, Components, fit_components, load_components, project_set, save_components
from .recheck import check_chunks, job_of, recipe_of
from .recipe import BundledFeatures
from .row_maker import RowMaker
from .segments import SEGMENT_ROWS, Crew, SegmentRunner
