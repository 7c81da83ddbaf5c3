"""The commands `ballspot hub push` and `hub pull`."""

from pathlib import Path

import click

from ...cache.terminal import FOLDER, command, note, trust_option


@command("push", short_help="Put a run's head, configuration and card on the hub.")
@click.argument("source", metavar="RUN|BUNDLE", type=FOLDER)
@click.argument("repo")
@click.option("--public", "is_public", is_flag=True, help="Make a public repository.  [default: a private one]")
@click.option("--with-backbone", is_flag=True, help="Also send the backbone's weights; mind their licence.")
@click.option(
    "--with-features", "features", metavar="FOLDER", type=FOLDER, multiple=True,
    help="Also send this feature set; repeatable. Features are made from videos, so mind the agreement on the videos.",
)  # fmt: skip
@click.option(
    "--features", "sets", metavar="FOLDER", type=FOLDER, multiple=True,
    help="A set that the run was trained on; repeatable, in the order of the training. It is not sent.  [default: as "
        "the run recorded]",
)  # fmt: skip
@trust_option
def hub_push(
    source: Path, repo: str, is_public: bool, with_backbone: bool, features: tuple[Path, ...], sets: tuple[Path, ...]
) -> None:
    """Put a run's head, configuration and card on the hub.

    REPO is USER/NAME on the Hugging Face hub. If it does not exist, it is made as a private repository. The command
    sends model.ballspot, config.toml and README.md. It sends no video and no label, and features only with
    --with-features. Log in with `hf auth login` first.

    \b
    ballspot hub push runs/first me/first-head
    """
    from ..bundle import push

    if features:
        note("note: features are sent; they are made from videos, whose agreement may forbid sharing them")
    where, bundle = push(source, repo, is_public=is_public, with_backbone=with_backbone, features=features, sets=sets)
    click.echo(f"{where}: {len(bundle.heads)} head(s), {'public' if is_public else 'private'}")
    for one in bundle.features:
        if one.origin == "run" and one.weights is None:
            note(f"note: {one.name}: its backbone was fine-tuned here and stays here; --with-backbone sends it")


@command("pull", short_help="Get a head from the hub, checked and ready to predict.")
@click.argument("repo")
@click.option("--out", type=FOLDER, required=True, help="New folder for model.ballspot, config.toml and README.md.")
@click.option("--revision", help="Branch, tag or commit.  [default: the newest]")
@click.option("--with-features", is_flag=True, help="Also get the feature sets in the repository.")
def hub_pull(repo: str, out: Path, revision: str | None, with_features: bool) -> None:
    """Get a head from the hub, checked and ready to predict.

    REPO is USER/NAME on the Hugging Face hub, as `ballspot hub push` made it. Only safetensors are read, and every
    digest is checked, so nothing that was downloaded can run.

    \b
    ballspot hub pull me/first-head --out first-head
    """
    from ..bundle import pull

    bundle = pull(repo, out, revision=revision, with_features=with_features)
    click.echo(f"{out / 'model.ballspot'}: {len(bundle.heads)} head(s), labels {bundle.label_set.name}")
