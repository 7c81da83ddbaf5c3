"""The card says what the head is, from the run and from its bundle, and lets no text of others become markup."""

import json
import re
from dataclasses import replace

import pytest
from click.testing import CliRunner

from ballspot.cli import main
from ballspot.evaluate.dataset.labels import read_labels
from ballspot.evaluate.dataset.labelsets import LabelSet, load_label_set
from ballspot.evaluate.dataset.matches import find_matches
from ballspot.temporal.bundle import card as model_card
from ballspot.temporal.bundle.bundle import bundle_of
from ballspot.temporal.bundle.card import card_text


@pytest.fixture(scope="module")
def card(shared, tmp_path_factory) -> str:
    out = tmp_path_factory.mktemp("card") / "card.md"
    words = ["export", shared.plain_run, "--format", "card", "--out", out]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output + result.stderr
    return out.read_text()


def rows_of(card: str, first: str) -> dict[str, list[str]]:
    """The rows of the table that follows the heading ``first``, by their first cell."""
    section = card.split(f"\n## {first}\n")[1].split("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in cells}


def test_front_matter_opens_the_card_and_names_the_mean(card, shared):
    front = card.split("---\n")[1]
    metrics = json.loads((shared.plain_run / "metrics.json").read_text())
    assert card.startswith("---\nlibrary_name: ballspot\n")
    assert f"value: {round(100 * metrics['mean_ap'], 2)}\n" in front
    assert "\t" not in front and "{" not in front


def test_the_tables_hold_the_numbers_of_the_run_and_its_labels(card, shared):
    metrics = json.loads((shared.plain_run / "metrics.json").read_text())
    results = rows_of(card, "Results")
    for label, one in metrics["per_class"].items():
        assert results[label][:2] == [str(one["n_truth"]), f"{100 * one['ap']:.1f}"]
    data = rows_of(card, "Data")
    matches = {match.name: match for match in find_matches(shared.data)}
    record = json.loads((shared.plain_run / "run.json").read_text())
    for part in ("train", "valid", "test"):
        names = record["splits"][part]
        paths = [matches[name].labels_path for name in names]
        counted = sum(len(read_labels(path, load_label_set())) for path in paths if path)
        assert data[part] == [str(len(names)), str(counted)]
    assert rows_of(card, "Head")["0"][0] == "gru"


def test_the_features_are_named_with_digest_origin_and_command(card, shared):
    features = bundle_of([shared.plain_run], with_backbone=False).features[0]
    assert f"`{features.spec.weights_sha256}`" in card and f"`{features.fingerprint}`" in card
    assert "drawn by ballspot with seed 3, never trained" in card
    assert "--backbone regnety_002 --weights random:3 --size 64x96 --stride 1" in card
    assert "NDA" in card and "licence" in card


def test_intervals_come_from_the_metrics_where_those_have_them(shared, monkeypatch):
    bundle = bundle_of([shared.plain_run], with_backbone=False)
    recorded = {"mean_ap": [0.25, 0.5], "per_class": {"PASS": {"ap": [0.125, 0.75]}}}
    monkeypatch.setattr(model_card.RunFolder, "metrics", lambda self: {"intervals": recorded})
    results = rows_of(card_text(bundle, run=shared.plain_run), "Results")
    assert results["PASS"][2] == "12.5 to 75.0"
    assert results["**mean**"][2] == "25.0 to 50.0"
    assert results["DRIVE"][2] == "-"


def test_several_seeds_are_averaged(shared):
    bundle = bundle_of([shared.components_runs], with_backbone=False)
    text = card_text(bundle, run=shared.components_runs)
    values = [json.loads((path / "metrics.json").read_text())["mean_ap"] for path in shared.components_runs.glob("s*")]
    assert rows_of(text, "Results")["**mean**"][1] == f"**{100 * sum(values) / 2:.1f}**"
    assert rows_of(text, "Head").keys() >= {"0", "1"}
    assert "12 principal components" in text


def test_names_of_others_stay_names(shared):
    """A bundle may come from anywhere: its labels and matches are shown, not read as Markdown, HTML or YAML."""
    bundle = bundle_of([shared.plain_run], with_backbone=False)
    evil = 'A|B](x)<img src=x>`"#'
    label_set = LabelSet(evil, (evil,))
    splits = {"train": (evil,), "valid": (), "test": ()}
    metrics = ({**(bundle.metrics[0] or {}), "per_class": {evil: {"ap": 0.5, "n_truth": 2}}},)
    text = card_text(replace(bundle, label_set=label_set, splits=splits, metrics=metrics), title=f"{evil}\nx: y")
    body = text.split("---\n", 2)[2].split("\n## Configuration")[0]
    assert re.search(r"(?<!\\)<img", body) is None and re.search(r"(?<!\\)\]\(", body) is None
    assert len(next(line for line in body.splitlines() if line.startswith("| A")).split("|")) == 6  # 3 cells, 1 escaped
    front = text.split("---\n")[1]
    name = next(line for line in front.splitlines() if "- name:" in line).partition("name: ")[2]
    assert json.loads(name) == f"{evil}\nx: y"
