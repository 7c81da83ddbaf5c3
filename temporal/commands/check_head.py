"""The command `check-head`."""

import click
from click.exceptions import Exit

from ...cache.code import is_reference
from ...cache.errors import BallspotError
from ...cache.terminal import command, device_option, labels_option, set_option, threads_option
from ...extract.device import pick_device, use_threads


@command("check-head", short_help="Try a head of your own before it is trained.")
@click.argument("head", metavar="FILE.py:CLASS|MODULE:CLASS")
@click.option("--dim", type=click.IntRange(1, 2**20), default=368, show_default=True, help="Features per frame.")
@click.option("--preset", default="best", show_default=True, help="A preset, or a TOML file of your own.")
@set_option
@labels_option
@device_option()
@threads_option
def check_head(
    head: str, dim: int, preset: str, settings: tuple[str, ...], labels: str, device: str, n_threads: int | None
) -> None:
    """Try a head of your own before it is trained.

    The class is made and called as in training and prediction. The checks are: shapes at several lengths and strides,
    clips in a batch, gradients of the training loss (also a loss of your own from --set class_loss), equal scores
    twice, saving and loading, and number types. Each check prints one line, and the exit code is 1 if something is
    wrong. docs/reference/own-code.md says what a head is.

    \b
    ballspot check-head heads.py:MyHead --set temporal_stride=2
    """
    from ...evaluate.dataset import load_label_set
    from ..check import check_head as check
    from ..config import load_config

    use_threads(n_threads)
    if not is_reference(head):
        raise BallspotError(f"{head}: names no code of your own; give FILE.py:CLASS or MODULE:CLASS")
    config = load_config(preset, [*settings, f"head.kind={head}"])
    n_wrong = 0
    for finding in check(config, dim=dim, n_labels=len(load_label_set(labels)), device=pick_device(device)):
        click.echo(f"{'ok   ' if finding.is_good else 'WRONG'}  {finding.name}: {finding.text}")
        n_wrong += not finding.is_good
    if n_wrong:
        click.echo(f"{head}: {n_wrong} of its checks failed; docs/reference/own-code.md says what a head must be")
        raise Exit(1)
    click.echo(f"{head}: fit for `ballspot train --head {head}`")
