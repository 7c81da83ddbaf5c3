"""The command `finetune`."""

from dataclasses import replace
from pathlib import Path

import click

from ...cache.runs import SEEDS_BELOW
from ...cache.stores import MOST_MOTION
from ...cache.terminal import (
    FOLDER,
    SIZE,
    command,
    data_argument,
    device_option,
    matches_options,
    set_option,
    threads_option,
    trust_option,
)


@command("finetune")
@data_argument
@click.option("--out", "run_path", type=FOLDER, required=True, help="Folder of the run; an interrupted one is resumed.")
@click.option(
    "--backbone",
    help="A timm model, also with temporal shift (regnety_002+gsf), or FILE.py:NAME.  [default: what the weights say]",
)
@click.option("--weights", default="hub", show_default=True, help="Weights to begin with, as in `ballspot extract`.")
@click.option(
    "--size", type=SIZE, help="Height and width of the pictures.  [default: what the weights say, otherwise 224x398]"
)
@click.option("--motion", type=click.IntRange(0, MOST_MOTION),
              help="Show motion, as in `ballspot extract`.  [default: what the weights say, otherwise 0]")  # fmt: skip
@click.option("--preset", default="finetune", show_default=True, help="A preset, or a TOML file of your own.")
@click.option("--head", help="Kind of head, or a class of your own: FILE.py:CLASS.  [default: the preset's]")
@set_option
@click.option("--freeze", help="Parts of the backbone that stay as they are, e.g. stem,s1,s2.")
@click.option("--seed", type=click.IntRange(0, SEEDS_BELOW - 1), default=0, show_default=True,
              help="Seed of everything that is random.")  # fmt: skip
@matches_options
@device_option()
@click.option(
    "--precision", type=click.Choice(["auto", "float32", "bfloat16", "float16"]), default="auto", show_default=True,
    help="Number type of the forward pass; auto is bfloat16 on GPUs that have it, otherwise float32.",
)  # fmt: skip
@threads_option
@trust_option
def finetune(
    data_root: Path,
    run_path: Path,
    backbone: str | None,
    weights: str,
    size: tuple[int, int] | None,
    motion: int | None,
    preset: str,
    head: str | None,
    settings: tuple[str, ...],
    freeze: str | None,
    seed: int,
    splits_file: Path | None,
    leave_out: str | None,
    labels: str,
    device: str,
    precision: str,
    n_threads: int | None,
) -> None:
    """Train a backbone and a head together on video.

    Clips come straight from the videos of DATA and are decoded as they are needed.

    OUT receives backbone.safetensors, which `extract --weights OUT` takes, and a head for `predict`. With several
    GPUs or machines, start the command with torchrun. docs/reference/finetuning.md has every key.

    \b
    ballspot finetune DATA --out runs/tuned --backbone regnety_002+gsf --weights hub
    ballspot extract DATA --out features --weights runs/tuned --set tuned
    ballspot train features/tuned --data DATA --run runs/ablation-1
    """
    import torch

    from ...cache.code import is_reference, pin_code
    from ...cache.runs import RunFolder
    from ...cache.terminal import note
    from ...evaluate.dataset import DataSelection, load_label_set
    from ...extract.backbone import parse_weights, settle
    from ...extract.device import pick_device, use_threads
    from ..finetune import Finetuning, chosen_precision, joined_group, read_settings, read_videos, start_digest
    from ..finetune import finetune as train
    from ..training import Task, command_line, shown_metrics, task_record

    use_threads(n_threads)
    chosen = [*settings, *([f"head.kind={head}"] if head else []), *([f"freeze={freeze}"] if freeze else [])]
    config, section = read_settings(preset, chosen)
    if backbone is not None and is_reference(backbone):
        backbone = pin_code(backbone, where="--backbone", kind="function")
        weights = "own" if weights == "hub" else weights
    settled = settle(parse_weights(weights).path, backbone=backbone, size=size)
    with joined_group(pick_device(device)) as group:
        task = Task(
            config=config,
            data=DataSelection(data_root, load_label_set(labels), splits_file, leave_out, one_video=True).opened(),
            seed=seed,
            shuffle_labels=False,
            device=group.device,
        )
        is_halved = config.training.amp or config.training.precision == "bfloat16"
        numbers = chosen_precision("bfloat16" if is_halved and precision == "auto" else precision, group.device)
        videos = read_videos(task, group)
        finetuning = Finetuning(
            task=task,
            section=section,
            backbone=settled.spec(weights),
            videos=videos,
            precision=numbers,
            fps=settled.fps,
            motion=settled.motion if motion is None else motion,
        )
        if group.is_first:
            remarks = {name: probe.notes()[-1] for split in ("train", "valid")
                       for name, probe in finetuning.probes(split).items() if probe.whole is not None}  # fmt: skip
            for line in [*(f"{name}: {text}" for name, text in remarks.items()), *filter(None, [numbers.remark])]:
                note(line)
        finetuning = replace(finetuning, backbone=finetuning.loaded().spec)  # a checkpoint may bring a shift of its own
        key = finetuning.key(start_digest(finetuning), n_processes=group.n_processes)
        run = RunFolder(run_path, option="--out")
        if not group.is_first:
            group.wait()
            if not run.is_done:
                train(finetuning, run, group=group, key=key, report=lambda line: None)
            return
        with run.at_work(waits=False):
            features = {"set": settled.backbone, "fingerprint": "", "files": {}}
            record = task_record(task, command=command_line(), features=features)
            run.prepare(key=key, record={**record, "n_processes": group.n_processes}, config=finetuning.table())
            is_done = run.is_done
            group.wait()
            if is_done:
                note(f"{run_path}: this run is already done; nothing to do")
                metrics = run.metrics()
            else:
                if settled.line:
                    note(settled.line)
                metrics = train(finetuning, run, group=group, key=key, report=note)
    click.echo(f"{run_path}: {shown_metrics(run, metrics, more=f', {torch.get_num_threads()} threads')}")
