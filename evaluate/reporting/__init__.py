"""Results as tables, plots and one HTML page. This room owns how numbers look; it computes none."""

from .comparison_tables import comparison_tables, settings_rows
from .figures import draw_comparison
from .plots import COLOURS, FAINT, INK, draw_evaluation, require_matplotlib
from .report import write_report
from .tables import (
    TextTable,
    contest_table,
    diagnosis_tables,
    evaluation_table,
    f1_table,
    readings_table,
    remarks,
    teams_table,
)
from .typesetting import as_csv, as_latex, as_markdown
