"""A data root as a whole: what is wrong with it, what it holds, and drawn matches to test with."""

from .check import ERROR, lint_matches
from .init import LABELS_TOML, make_root, plan_root, split_by_shares
from .stats import match_stats, summary, table_rows
from .synth import synthesize
