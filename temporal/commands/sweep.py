"""The command `sweep`."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...cache.disk import find_temporary, locked_folder, make_folder
from ...cache.errors import BallspotError
from ...cache.runs import SWEEP_FILE
from ...cache.terminal import FOLDER, command, data_option, device_option, json_option, matches_options, note

if TYPE_CHECKING:
    from ..config import TrainingSection

CLUSTER_JOBS = 16  # runs at a time on other machines, whose number nobody here knows


@command(short_help="Train every setting of a sweep file with several seeds.")
@click.argument("file", metavar="FILE")
@click.argument("features", type=FOLDER, nargs=-1)
@data_option()
@click.option("--out", type=FOLDER, required=True, help="Folder of the sweep: runs lie in OUT/SETTING/seed-N.")
@click.option("--jobs", "n_jobs", type=click.IntRange(min=1),
              help="Runs at the same time.  [default: cores / --threads; one per GPU; 16 on a cluster]")  # fmt: skip
@click.option("--threads", "n_threads", type=click.IntRange(min=1), default=1, show_default=True,
              help="Threads of each run; the same number gives the same bits.")  # fmt: skip
@click.option("--stack", default="auto", show_default=True, metavar="auto|N",
              help="Train up to N runs of one shape at once; auto is 8 on a GPU and 1 on the CPU.")  # fmt: skip
@click.option("--precision", type=click.Choice(("float32", "bfloat16")),
              help="Number type that heads compute in while they train; the same as --set precision=...")  # fmt: skip
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set one configuration key in every run; repeatable."
)
@click.option("--seeds", "n_seeds", type=click.IntRange(1, 100), help="Seeds of every setting.  [default: the file's]")
@click.option("--folds", "n_folds", type=click.IntRange(min=2), metavar="K",
              help="Train every setting and seed K times, each time without another part of the matches; `compare` "
                  "scores what the K runs found on the parts that they left out.  [default: the file's]")  # fmt: skip
@click.option(
    "--with-test",
    is_flag=True,
    help="With folds: deal the test matches to the folds, too; otherwise they take no part.",
)
@matches_options
@device_option("all GPUs there are")
@click.option("--on", default="local", show_default=True,
              help="local, ray, ray:ADDRESS, slurm, or slurm:local (SLURM's jobs as processes here).")  # fmt: skip
@click.option("--minutes", type=click.IntRange(min=1), default=120, show_default=True,
              help="Minutes that a run may take on SLURM.")  # fmt: skip
@click.option("--search", "searcher", type=click.Choice(("optuna",)),
              help="Try some settings instead of all, and give poor ones up early (extra optuna).")  # fmt: skip
@click.option("--trials", "n_trials", type=click.IntRange(min=1),
              help="With --search: settings to try with the first seed.  [default: 20]")  # fmt: skip
@click.option(
    "--finalists",
    "n_finalists",
    type=click.IntRange(min=1),
    help="With --search: this many of the best settings, and the baseline, get all seeds.  [default: 3]",
)
@click.option("--track", is_flag=True, help="Write TensorBoard files into the runs (extra track).")
@click.option("--retry-failed", is_flag=True, help="Try again the runs that failed before.")
@click.option(
    "--dry-run", is_flag=True, help="List the runs with their expected time and disk space, but train nothing."
)
@json_option
def sweep(
    file: str,
    features: tuple[Path, ...],
    data_root: Path,
    out: Path,
    n_jobs: int | None,
    n_threads: int,
    stack: str,
    precision: str | None,
    settings: tuple[str, ...],
    n_seeds: int | None,
    n_folds: int | None,
    with_test: bool,
    splits_file: Path | None,
    leave_out: str | None,
    labels: str,
    device: str,
    on: str,
    minutes: int,
    searcher: str | None,
    n_trials: int | None,
    n_finalists: int | None,
    track: bool,
    retry_failed: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train every setting of a sweep file with several seeds.

    FILE is a TOML file, or the name of a shipped one; docs/reference/sweeps.md describes both. FEATURES are read side
    by side by settings that name no features themselves. If you give the command again, it skips finished runs,
    resumes interrupted ones, and leaves failed ones alone until --retry-failed.

    \b
    ballspot sweep experiment-2 features/SET --data DATA --out runs/experiment-2
    ballspot compare runs/experiment-2
    ballspot sweep experiment-2 features/SET --data DATA --out runs/folds --folds 4
    ballspot sweep space.toml features/SET --data DATA --out runs/search --search optuna --trials 30
    """
    import torch

    from ...cache.workers import Executor
    from ...evaluate.dataset import DataSelection, load_label_set
    from ...extract.device import pick_devices
    from ..features import open_source
    from ..sweep import (
        Job,
        SweepProgress,
        check_runs,
        costs,
        dealt,
        find_sweep,
        job_runner,
        left_alone,
        plan_runs,
        read_space,
        record_sweep,
        run_sweep,
        show_plan,
        show_results,
        stack_size,
    )
    from ..training import command_line, require_tracker

    folding = next((f"--{name}" for name, given in (("folds", n_folds), ("with-test", with_test)) if given), None)
    require_sense(searcher, on, n_trials=n_trials, n_finalists=n_finalists, dry_run=dry_run, folding=folding)
    if track:
        require_tracker()
    path = find_sweep(file)
    stored = open_source(features[0]).recordings if features else frozenset[str]()
    data = DataSelection(data_root, load_label_set(labels), splits_file, leave_out, one_video=True, stored=stored)
    wholes = list(dict.fromkeys(match.whole for match in data.matches.values()))
    laid = [*settings, *([] if precision is None else [f"training.precision={precision}"])]
    space = read_space(path, settings=laid, matches=wholes, n_seeds=n_seeds)
    devices = pick_devices(device, on=on)
    if not Executor.is_elsewhere(on):  # where nobody here knows which units there are
        tell_precision([space.setting(place).config.training for place in space.covering()], devices[0])
    n_jobs = n_jobs or (CLUSTER_JOBS if Executor.is_elsewhere(on) else default_jobs(devices, n_threads))
    template = Job(
        run=out,
        config=space.setting(space.baseline()).config,
        seed=0,
        features=features,
        data=data,
        device=devices[0],
        resident=out / "resident",
        command=command_line(),
        track=track,
    )
    most = stack_of_search(stack) if searcher is not None else stack_size(stack, device=devices[0])
    executor = Executor(n_jobs, on, devices, n_threads, logs=out / "slurm", minutes=minutes)
    run_jobs = job_runner(executor, stack=most)
    if searcher is not None:
        from ..sweep import search_space

        with going_on_later(out):
            planned_sweep, planned = search_space(
                space,
                template,
                run_jobs,
                n_trials=n_trials or 20,
                n_finalists=n_finalists or 3,
                retry_failed=retry_failed,
            )
    else:
        folds = dealt(out, data, n_folds or space.file.folds, with_test=with_test or space.file.with_test)
        planned_sweep = replace(space.sweep(space.points), folds=folds)
        planned = plan_runs(planned_sweep, template)
        experiments = check_runs(planned)
        if dry_run:
            torch.set_num_threads(n_threads)
            found = costs(planned, experiments)
            show_plan(planned_sweep, planned, found, n_jobs, retry_failed=retry_failed, as_json=as_json)
            return
        for line in left_alone([run.job for run in planned]) if most > 1 else ():
            note(line)
        record_sweep(out, planned_sweep, planned, source=path)
        held = locked_folder(make_folder(out), waits=False, shared=True)
        with going_on_later(out), held, SweepProgress(planned) as progress:
            run_sweep(planned, run_jobs, retry_failed=retry_failed, on_progress=progress.show, on_end=progress.ended)
    with suppress(BallspotError), locked_folder(out, waits=False):  # else another sweep is at work on them
        shutil.rmtree(template.resident, ignore_errors=True)
        of_failures = [*out.glob("*/.*.failure.json.????????.tmp"), *out.glob("*/*/.*.failure.json.????????.tmp")]
        for left in (*find_temporary(out / SWEEP_FILE), *of_failures):
            left.unlink(missing_ok=True)  # of a sweep that was killed while it wrote
    show_results(planned_sweep, planned, as_json=as_json)
    if searcher is not None:
        note("the best of many tries looks too good on the validation matches; `compare --split test` shows its worth")
    if planned_sweep.folds:
        note(f"`ballspot compare {out}` takes what all folds found on the matches that they held out together")
    failed = [run for run in planned if run.state == "failed"]
    if failed:
        raise BallspotError(
            f"{out}: {len(failed)} of {len(planned)} runs failed, the first {failed[0].job.run.relative_to(out)}; "
            "remove the cause and give the same command with --retry-failed"
        )


def require_sense(
    searcher: str | None, on: str, *, n_trials: int | None, n_finalists: int | None, dry_run: bool, folding: str | None
) -> None:
    """Raises BallspotError for options that do not go together; ``folding`` is the one that asks for folds."""
    if searcher is not None and folding is not None:
        raise BallspotError(f"--search {searcher} {folding}: a search validates all on one part; leave it out")
    if searcher is None and (n_trials or n_finalists):
        raise BallspotError("--trials and --finalists are for a search; give --search optuna with them")
    if searcher is not None and dry_run:
        raise BallspotError(
            f"--search {searcher} --dry-run: which settings are tried depends on what is found; give --dry-run alone, "
            "which says what a run of every setting costs"
        )
    if searcher is not None and on != "local":
        raise BallspotError(
            f"--search {searcher} --on {on}: a search stops its trials, which works only here; leave out --on"
        )


def tell_precision(sections: "Sequence[TrainingSection]", device: str) -> None:
    """Says, once, where settings ask for numbers that this machine has no unit for."""
    import torch

    from ..training import precision_remark

    remarks = dict.fromkeys(precision_remark(section, torch.device(device)) for section in sections)
    for line in filter(None, remarks):
        note(line)


def stack_of_search(stack: str) -> int:
    """How many runs of a search are trained at once: one, which may be given up alone. BallspotError for more."""
    from ..sweep import stack_size

    if stack_size(stack, device="cpu") > 1:
        raise BallspotError(f"--stack {stack}: a search gives its trials up one by one; leave out --stack, or --search")
    return 1


@contextmanager
def going_on_later(out: Path) -> Iterator[None]:
    """Says, when it is interrupted, how it goes on."""
    try:
        yield
    except KeyboardInterrupt:
        raise BallspotError(f"{out}: interrupted; the same command goes on where it stands") from None


def default_jobs(devices: Sequence[str], n_threads: int) -> int:
    """How many runs at a time: one a GPU, else so many that their threads fill the cores and no more."""
    from ...cache.workers import n_usable_cpus

    return len(devices) if devices[0].startswith("cuda") else max(1, n_usable_cpus() // n_threads)
