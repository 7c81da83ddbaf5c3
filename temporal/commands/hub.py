"""The commands `ballspot hub push` and `hub pull`."""

from pathlib import Path

import click

from ...cache.terminal import FOLDER, command, note, trust_option


@command("push", short_help="Put a run's head, configuration and card on the hub.")
@click.argument("source", metavar="RUN|BUNDLE", type=FOLDER)
@click.argument("repo")
@click.option("--public", "is_public", is_flag=True, help="Everybody may see it.  [default: you alone]")
@click.option("--with-backbone", is_flag=True, help="Send the backbone's weights, too; mind their licence.")
@click.option(
    "--with-features", "features", metavar="FOLDER", type=FOLDER, multiple=True,
    help="Send this feature set, too; may be repeated. Features are made from videos: mind the agreement on those.",
)  # fmt: skip
@click.option(
    "--features", "sets", metavar="FOLDER", type=FOLDER, multiple=True,
    help="A set that the run was trained on, in order; it is not sent.  [default: as the run recorded]",
)  # fmt: skip
@trust_option
def hub_push(
    source: Path,
    repo: str,
    is_public: bool,
    with_backbone: bool,
    features: tuple[Path, ...],
    sets: tuple[Path, ...],
) -> None:
    """Put a run's head, configuration and card on the hub.

    REPO is USER/NAME on the Hugging Face hub, made where it is not there yet, for your eyes alone. What goes there is
    model.ballspot, config.toml and README.md; no video, no label, and no feature but those of --with-features. Log in
    with `hf auth login` first.

    \b
    ballspot hub push runs/first me/first-head
    """
    from ..bundle import push

    if features:
        note("note: features are sent; they are made from videos, whose agreement may forbid to give them on")
    where, bundle = push(source, repo, is_public=is_public, with_backbone=with_backbone, features=features, sets=sets)
    click.echo(f"{where}: {len(bundle.heads)} head(s), {'public' if is_public else 'private'}")
    for one in bundle.features:
        if one.origin == "run" and one.weights is None:
            note(f"note: {one.name}: its backbone was fine-tuned here and stays here; --with-backbone sends it")


@command("pull", short_help="Get a head from the hub, checked, ready to predict.")
@click.argument("repo")
@click.option("--out", type=FOLDER, required=True, help="New folder for model.ballspot, config.toml and README.md.")
@click.option("--revision", help="Branch, tag or commit.  [default: the newest]")
@click.option("--with-features", is_flag=True, help="Get the feature sets that lie there, too.")
def hub_pull(repo: str, out: Path, revision: str | None, with_features: bool) -> None:
    """Get a head from the hub, checked, ready to predict.

    REPO is USER/NAME on the Hugging Face hub, as `ballspot hub push` made it. Only safetensors are read, and every
    digest is checked: nothing that was got can run.

    \b
    ballspot hub pull me/first-head --out first-head
    """
    from ..bundle import pull

    bundle = pull(repo, out, revision=revision, with_features=with_features)
    click.echo(f"{out / 'model.ballspot'}: {len(bundle.heads)} head(s), labels {bundle.label_set.name}")
