"""The command `sweep`."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import click

from ..cache.console import clock, note, print_table
from ..cache.errors import BallspotError
from ..cache.files import find_temporary, locked_folder, make_folder
from ..cache.sweeps import SWEEP_FILE
from ..evaluate.labelsets import nearest_name

if TYPE_CHECKING:
    from .sweep import Sweep
    from .sweeping import Cost, PlannedRun

FOLDER = click.Path(path_type=Path)
SWEEP_FILES = Path(__file__).parent / "sweeps"


@click.command(short_help="Train every setting of a sweep file, several seeds each.")
@click.argument("file", metavar="FILE")
@click.argument("features", type=FOLDER, nargs=-1)
@click.option("--data", "data_root", type=FOLDER, required=True, help="Data root: the match folders with their labels.")
@click.option("--out", type=FOLDER, required=True, help="Folder of the sweep: runs lie in OUT/SETTING/seed-N.")
@click.option("--jobs", "n_jobs", type=click.IntRange(min=1),
              help="Runs at a time.  [default: cores / --threads, or one a GPU]")  # fmt: skip
@click.option("--threads", "n_threads", type=click.IntRange(min=1), default=1, show_default=True,
              help="Threads of a run; the same number gives the same bits.")  # fmt: skip
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Laid over every run; may be repeated.")
@click.option("--splits", "splits_file", type=FOLDER, help="TOML file with train, valid, test.  [default: the data's]")
@click.option("--leave-out", metavar="MATCH", help="Test on this match, validate on the next one, train on the rest.")
@click.option("--labels", default="ball-12", show_default=True, help="Label set: a built-in name or a TOML file.")
@click.option("--device", default="auto", show_default=True, help="auto (all GPUs there are), cpu, cuda, cuda:1, ...")
@click.option("--on", default="local", show_default=True,
              help="local, ray, ray:ADDRESS, slurm, or slurm:local (SLURM's jobs as processes here).")  # fmt: skip
@click.option("--minutes", type=click.IntRange(min=1), default=120, show_default=True,
              help="What SLURM is told that a run takes at most.")  # fmt: skip
@click.option("--search", "searcher", type=click.Choice(("optuna",)),
              help="Try some settings instead of all, giving poor ones up early (extra optuna).")  # fmt: skip
@click.option("--trials", "n_trials", type=click.IntRange(min=1),
              help="Of a search: settings to try, with the first seed.  [default: 20]")  # fmt: skip
@click.option("--finalists", "n_finalists", type=click.IntRange(min=1),
              help="Of a search: so many of the best, and the baseline, get all seeds.  [default: 3]")  # fmt: skip
@click.option("--track", is_flag=True, help="Write TensorBoard files into the runs (extra track).")
@click.option("--retry-failed", is_flag=True, help="Try runs again that failed before.")
@click.option("--dry-run", is_flag=True, help="List the runs with their expected time and disk; train nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def sweep(
    file: str,
    features: tuple[Path, ...],
    data_root: Path,
    out: Path,
    n_jobs: int | None,
    n_threads: int,
    settings: tuple[str, ...],
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
    """Train every setting of a sweep file, several seeds each.

    FILE is a TOML file, or the name of a shipped one; docs/sweeps.md describes both. FEATURES are read side by side by
    settings that name none. Given again, the command goes on: done runs are skipped, interrupted ones resumed, failed
    ones left until --retry-failed.

    \b
    ballspot sweep experiment-2 features/SET --data DATA --out runs/experiment-2
    ballspot compare runs/experiment-2
    ballspot sweep space.toml features/SET --data DATA --out runs/search --search optuna --trials 30
    """
    import torch

    from ..evaluate.matches import find_matches
    from .engines import cluster_engine, local_engine
    from .jobs import Job
    from .provenance import command_line
    from .sweep import read_space
    from .sweep_progress import SweepProgress
    from .sweeping import check_runs, costs, plan_runs, record_sweep, run_sweep
    from .tracking import require_tracker

    require_sense(searcher, on, n_trials=n_trials, n_finalists=n_finalists, dry_run=dry_run)
    if track:
        require_tracker()
    path = find_sweep(file)
    space = read_space(path, settings=settings, matches=[match.name for match in find_matches(data_root)])
    devices = pick_devices(device)
    n_jobs = n_jobs or default_jobs(devices, n_threads)
    template = Job(
        run=out,
        config=space.setting(space.baseline()).config,
        seed=0,
        features=features,
        data_root=data_root,
        splits_file=splits_file,
        leave_out=leave_out,
        labels=labels,
        device=devices[0],
        resident=out / "resident",
        command=command_line(),
        track=track,
    )
    if on == "local":
        engine = local_engine(n_jobs=n_jobs, n_threads=n_threads, devices=devices)
    else:
        logs = out / "slurm"
        engine = cluster_engine(on, n_jobs=n_jobs, n_threads=n_threads, device=devices[0], folder=logs, minutes=minutes)
    if searcher is not None:
        from .searching import search_space

        with going_on_later(out):
            planned_sweep, planned = search_space(
                space,
                template,
                engine,
                n_trials=n_trials or 20,
                n_finalists=n_finalists or 3,
                retry_failed=retry_failed,
            )
    else:
        planned_sweep = space.sweep(space.points)
        planned = plan_runs(planned_sweep, template)
        experiments = check_runs(planned)
        if dry_run:
            torch.set_num_threads(n_threads)
            found = costs(planned, experiments)
            show_plan(planned_sweep, planned, found, n_jobs, retry_failed=retry_failed, as_json=as_json)
            return
        record_sweep(out, planned_sweep, planned, source=path)
        held = locked_folder(make_folder(out), waits=False, shared=True)
        with going_on_later(out), held, SweepProgress(planned) as progress:
            run_sweep(planned, engine, retry_failed=retry_failed, on_progress=progress.show, on_end=progress.ended)
    with suppress(BallspotError), locked_folder(out, waits=False):  # else another sweep is at work on them
        shutil.rmtree(template.resident, ignore_errors=True)
        for left in (*find_temporary(out / SWEEP_FILE), *out.glob("*/.*.failure.json.????????.tmp")):
            left.unlink(missing_ok=True)  # of a sweep that was killed while it wrote
    show_results(planned_sweep, planned, as_json=as_json)
    if searcher is not None:
        note("the best of many tries on the validation matches is flattered there; `compare --split test` is not")
    failed = [run for run in planned if run.state == "failed"]
    if failed:
        raise BallspotError(
            f"{out}: {len(failed)} of {len(planned)} runs failed, the first {failed[0].job.run.relative_to(out)}; "
            "mend the cause and give the same command with --retry-failed"
        )


def require_sense(
    searcher: str | None, on: str, *, n_trials: int | None, n_finalists: int | None, dry_run: bool
) -> None:
    """Raises BallspotError for options that do not go together."""
    if searcher is None and (n_trials or n_finalists):
        raise BallspotError("--trials and --finalists are for a search; give --search optuna with them")
    if searcher is not None and dry_run:
        raise BallspotError(
            f"--search {searcher} --dry-run: which settings are tried hangs on what is found; give --dry-run alone, "
            "which says what a run of every setting costs"
        )
    if searcher is not None and on != "local":
        raise BallspotError(
            f"--search {searcher} --on {on}: a search stops its trials, which it can here alone; drop --on"
        )


@contextmanager
def going_on_later(out: Path) -> Iterator[None]:
    """Says, when it is interrupted, how it goes on."""
    try:
        yield
    except KeyboardInterrupt:
        raise BallspotError(f"{out}: interrupted; the same command goes on where it stands") from None


def find_sweep(name: str) -> Path:
    """The sweep file of that path, or the shipped one of that name. Raises BallspotError when there is neither."""
    path = Path(name)
    if path.is_file():
        return path
    shipped = {file.stem: file for file in sorted(SWEEP_FILES.glob("*.toml"))}
    found = shipped.get(name.removesuffix(".toml"))
    if found is None:
        near = nearest_name(name, shipped)
        hint = f"did you mean {near}?" if near else "check the name"
        raise BallspotError(f"{name}: neither a sweep file nor a shipped one ({', '.join(shipped)}); {hint}")
    return found


def pick_devices(name: str) -> list[str]:
    """The devices that "auto" or a name means: every GPU there is, else the CPU, else that one."""
    import torch

    from .commands import pick_device

    if name == "auto" and torch.cuda.is_available():
        return [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return [str(pick_device(name))]


def default_jobs(devices: Sequence[str], n_threads: int) -> int:
    """How many runs at a time: one a GPU, else so many that their threads fill the cores and no more."""
    from ..cache.processes import n_usable_cpus

    return len(devices) if devices[0].startswith("cuda") else max(1, n_usable_cpus() // n_threads)


def show_plan(
    sweep: "Sweep",
    planned: Sequence["PlannedRun"],
    costs: Sequence["Cost"],
    n_jobs: int,
    *,
    retry_failed: bool,
    as_json: bool,
) -> None:
    """Prints the settings with the state, the expected time and the disk of their runs."""
    rows, total_s, total_bytes = [], 0.0, 0
    for place, (setting, cost) in enumerate(zip(sweep.settings, costs, strict=True)):
        states = [run.state for run in planned if run.setting == place]
        n_left = sum(state != "done" and (retry_failed or state != "failed") for state in states)
        total_s += n_left * cost.seconds
        total_bytes += n_left * cost.n_bytes
        rows.append((setting, states, n_left, cost))
    if as_json:
        entries = [
            {
                "name": setting.name,
                "varied": dict(setting.varied),
                "n_runs": len(states),
                "n_left": n_left,
                "run_s": round(cost.seconds, 3),
                "run_bytes": cost.n_bytes,
                "from_finished_runs": cost.measured,
            }
            for setting, states, n_left, cost in rows
        ]
        found = {"title": sweep.title, "n_jobs": n_jobs, "cpu_s": round(total_s, 3), "bytes": total_bytes}
        click.echo(json.dumps({**found, "settings": entries}, indent=1, ensure_ascii=False))
        return
    print_table(
        ("setting", "runs", "left", "s a run", "MB a run", "known from"),
        [
            (
                setting.name,
                str(len(states)),
                str(n_left),
                f"{cost.seconds:.0f}",
                f"{cost.n_bytes / 1e6:.1f}",
                "finished runs" if cost.measured else "a few steps",
            )
            for setting, states, n_left, cost in rows
        ],
    )
    n_left = sum(n for _, _, n, _ in rows)
    click.echo(
        f"\n{sweep.title}: {n_left} of {len(planned)} runs left, about {clock(total_s / n_jobs)} with {n_jobs} at a "
        f"time, {total_bytes / 1e6:.0f} MB; epochs cost their training steps, validation comes on top"
    )


def show_results(sweep: "Sweep", planned: Sequence["PlannedRun"], *, as_json: bool) -> None:
    """Prints every setting's mean over its finished runs."""
    from ..cache.runs import RunFolder

    entries: list[dict[str, Any]] = []
    for place, setting in enumerate(sweep.settings):
        of_setting = [run for run in planned if run.setting == place]
        done = [RunFolder(run.job.run) for run in of_setting if run.state == "done"]
        values = [run.metric("mean_ap") for run in done]
        entries.append(
            {
                "name": setting.name,
                "n_done": len(values),
                "n_failed": sum(run.state == "failed" for run in of_setting),
                "mean_ap": mean(values) if values else None,
                "sd": stdev(values) if len(values) > 1 else None,
                "train_s": mean(run.metric("train_s") for run in done) if done else None,
            }
        )
    if as_json:
        click.echo(json.dumps({"title": sweep.title, "settings": entries}, indent=1, ensure_ascii=False))
        return
    print_table(
        ("setting", "runs done", "valid mAP@1", "sd", "s a run"),
        [
            (
                entry["name"],
                str(entry["n_done"]),
                "-" if entry["mean_ap"] is None else f"{100 * entry['mean_ap']:.2f}",
                "-" if entry["sd"] is None else f"{100 * entry['sd']:.2f}",
                "-" if entry["train_s"] is None else f"{entry['train_s']:.0f}",
            )
            for entry in entries
        ],
    )
