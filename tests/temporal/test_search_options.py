from click.testing import CliRunner

from ballspot.cli import main


def test_a_budget_without_a_search_is_refused(season, tmp_path):
    words = ["sweep", "conclusions", season.features, "--data", season.data, "--out", tmp_path / "o", "--trials", "3"]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 1
    assert "--trials and --finalists are for a search" in result.stderr
