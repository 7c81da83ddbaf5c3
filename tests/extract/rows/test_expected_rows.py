"""How many frames the progress line of an extraction says that there will be."""

from ballspot.cache.terminal import ProgressLine
from ballspot.extract.rows.extraction import _Rows


def test_matches_that_are_not_planned_yet_count_as_long_as_those_that_are():
    progress = ProgressLine("4 matches", 0, unit="frames")
    rows = _Rows(progress, 4)
    totals = []
    for n_rows, n_done in ((100, 50), (0, 100), (300, 150), (200, 600)):
        rows.expect(n_rows)
        totals.append(progress.total)
        progress.done = n_done
    assert totals == [400, 300, 600, 600]  # of 100 four; of 100 three; 400 of two and 200 more; all known
    assert progress.line().startswith("600/600 frames")
