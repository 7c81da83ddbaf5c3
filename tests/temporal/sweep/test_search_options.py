import pytest
from click.testing import CliRunner

import ballspot.temporal.sweep as sweeping
from ballspot.cli import main


def test_a_budget_without_a_search_is_refused(season, tmp_path):
    words = ["sweep", "conclusions", season.features, "--data", season.data, "--out", tmp_path / "o", "--trials", "3"]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 1
    assert "--trials and --finalists are for a search" in result.stderr


def test_a_search_has_the_budget_that_its_help_says(season, tmp_path, monkeypatch):
    class AskedError(Exception): ...

    def note(*words: object, **budget: object) -> None:
        raise AskedError(budget)

    monkeypatch.setattr(sweeping, "search_space", note)  # the command takes it from the room's face
    words = ["sweep", "conclusions", season.features, "--data", season.data, "--out", tmp_path / "o"]
    with pytest.raises(AskedError) as asked:
        CliRunner().invoke(main, [*map(str, words), "--search", "optuna"], catch_exceptions=False)
    budget = asked.value.args[0]
    assert (budget["n_trials"], budget["n_finalists"]) == (20, 3)
    told = CliRunner().invoke(main, ["sweep", "--help"]).output
    assert "[default: 20]" in told and "[default: 3]" in told
