"""The command `probe`."""

import json
from pathlib import Path

import click

from ...cache.terminal import FOLDER, command, data_option, json_option, matches_options, print_table


@command(short_help="Score single frames by logistic regression: the floor for heads.")
@click.argument("features", type=FOLDER)
@click.option("--features", "more", type=FOLDER, multiple=True, help="Another feature set to read beside FEATURES.")
@data_option()
@click.option("--split", default="valid", show_default=True, type=click.Choice(("valid", "test")),
              help="The matches to score.")  # fmt: skip
@matches_options
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of the random choice of background frames.",
)
@click.option("--min-count", type=click.IntRange(min=1), default=10, show_default=True,
              help="Truths that a class needs to count in the second mean.")  # fmt: skip
@json_option
def probe(
    features: Path,
    more: tuple[Path, ...],
    data_root: Path,
    split: str,
    splits_file: Path | None,
    leave_out: str | None,
    labels: str,
    seed: int,
    min_count: int,
    as_json: bool,
) -> None:
    """Score single frames by logistic regression: the floor for heads.

    Trains on the frames around the events of the training matches, with scikit-learn, and scores the split in the
    same way as a head's predictions. A head that is no better than this has learned nothing from time.

    \b
    ballspot probe features/SET --data DATA
    """
    from ...evaluate.dataset import DataSelection, load_label_set
    from ...evaluate.scoring import frequent_ap
    from ..config import load_config
    from ..features import open_source
    from ..training import probe_split

    source = open_source(features, more)
    data = DataSelection(
        data_root, load_label_set(labels), splits_file, leave_out, one_video=True, stored=source.recordings
    )
    result = probe_split(source, data.opened(), split=split, seed=seed, section=load_config("best").prediction)
    record = {
        "split": split,
        "mean_ap": result.mean_ap,
        "frequent_ap": frequent_ap(result.ap, result.n_truth, min_count),
        "min_count": min_count,
        "per_class": {
            label: {"ap": float(ap), "n_truth": int(n)}
            for label, ap, n in zip(data.label_set.labels, result.ap, result.n_truth, strict=True)
        },
    }
    if as_json:
        click.echo(json.dumps(record))
        return
    rows = [(label, str(one["n_truth"]), f"{100 * one['ap']:.1f}") for label, one in record["per_class"].items()]
    frequent = record["frequent_ap"]
    rows.append(("mAP@1", "", f"{100 * result.mean_ap:.1f}"))
    rows.append((f"{min_count} truths or more", "", "-" if frequent is None else f"{100 * frequent:.1f}"))
    print_table(("class", "truths", "AP"), rows)
