"""Records what ballspot does on the seven short matches, to show that a restructuring changed nothing.

    python bench/sameness.py record FOLDER [--matches tests/matches] [--reuse BEFORE]
    python bench/sameness.py compare BEFORE AFTER [--common]

`record` runs the commands below, and the help of every command, in FOLDER/work: through the command line of the
ballspot that this Python imports, one thread a process, two processes at a time. Whatever a command prints and every
file that it writes becomes a text in FOLDER/texts; arrays, tensors and videos stand there as digests, and
FOLDER/record.json has a digest of each text. Times, memory, versions and the commit are taken out. With --reuse,
stores, runs and bundles are those of an earlier recording, and only what reads them is run: what an older version
wrote must still give the same.

Given again, `record` goes on after the commands that have ended.

`compare` prints every text that differs, with the first lines of its difference, and ends with exit code 1 if one does;
--common leaves out texts that only one of the two has.

It reads files and runs commands and imports no module of ballspot, since those are what moves. Left out are the viewer,
the hub and `demo`, which serve, need a network, or repeat other commands, and the order of lines where several
processes print.
"""

import argparse
import difflib
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
from safetensors import safe_open

ROOT = Path(__file__).resolve().parents[1]
TRAIN = "train features/plain --data data --device cpu --run"
EXTRACT = "extract data --device cpu --size 64x96 --workers 1 --out features"
TWO = "--match match-01 --match match-06"
FAST = "--preset fast --set n_epochs=1 --set warmup_epochs=0.5"
SPOTS = "runs/best/predictions/test"
SCORE = "--data data --split test --block 10 --resamples 100"
FINETUNE = "finetune data --device cpu --weights random:0 --size 64x96 --set n_epochs=1 --set warmup_epochs=0.5"
SWEEP = """preset = "fast"
seeds = 2
[set]
n_epochs = 2
[axes]
temporal_stride = [1, 2]
"""
HEADS = """preset = "fast"
seeds = 1
[set]
n_epochs = 1
warmup_epochs = 0.5
[[cases]]
kind = "transformer"
positions = "rotary"
teams = "labels"
[[cases]]
kind = "multires"
class_loss = "sigmoid"
sampling = "near-actions"
[[cases]]
kind = "gru"
scaling = "train"
offset_loss = "huber"
index_jitter = 0.2
[[cases]]
kind = "tdeed"
sam_rho = 0.05
label_sd = 1.0
sampling = "class-balanced"
"""
# A step is NAME | COMMAND, an indented line goes on with it. A blank line parts chains, which run two at a time; each
# uses what the phases before left and what its own steps made. A name that ends in * is of a command whose processes
# print in no fixed order.
STORES = f"""
plain* | {EXTRACT} --set plain --backbone regnety_002 --weights random:0 --stride 2
pca | cache pca features/plain --dim 32 --data data --set pca
pca-refit | cache pca features/plain --fit features/pca/pca.safetensors --set refit

small* | {EXTRACT} --set small --backbone regnety_002 --weights random:1 --stride 4 --size 32x48 --views original,hflip
lite | {EXTRACT} --set lite --backbone tf_efficientnet_lite0 --weights offline --stride 10 {TWO}
gsf | {EXTRACT} --set gsf --backbone regnety_002+gsf --weights random:0 --stride 10 {TWO}
grid | {EXTRACT} --set grid --weights random:0 --grid 2x3 --stride 25 {TWO}
mixed | {EXTRACT} --weights random --dtype int8 --layers s3,s4 --views original,hflip,photo:1 --stride 25 {TWO}
decord | {EXTRACT} --set decord --weights random:0 --dtype float32 --decoder decord --stride 50 {TWO}
"""
RUNS = f"""
best | {TRAIN} runs/best --set n_epochs=3
best-again | {TRAIN} runs/best --set n_epochs=3
bundle | export runs/best --format bundle --out bundles/best.ballspot
predict-train | predict runs/best features/plain --data data --split train --out mistakes --device cpu
mistakes | {TRAIN} runs/hard {FAST} --set sampling=hard-negatives --mistakes mistakes
original-fixed | {TRAIN} runs/original-fixed --preset original-fixed --set n_epochs=2 --set warmup_epochs=1
    --set epoch_frames=5000
two-sets | {TRAIN} runs/two --features features/pca {FAST} --set teams=head
leave-out | {TRAIN} runs/left-out {FAST} --leave-out match-03 --shuffle-labels

tcn | {TRAIN} runs/tcn --head tcn --set n_epochs=3
seeds | train features/pca --data data --device cpu --run runs/seeds --preset fast --seeds 2 --set n_epochs=2
bundle-pca | export runs/seeds/seed-0 --with-run runs/seeds/seed-1 --format bundle --with-backbone
    --out bundles/pca.ballspot
original | {TRAIN} runs/original --preset original --set n_epochs=1 --set warmup_epochs=0.5 --set epoch_frames=3000
flip | train features/small --data data --device cpu --run runs/flip --preset fast --set n_epochs=2
    --set clip_stride=4 --set 'views=["original", "hflip"]' --set flip_average=true
sweep* | sweep sweep.toml features/plain --data data --out runs/sweep --jobs 2 --device cpu
heads | sweep heads.toml features/plain --data data --out runs/heads --jobs 1 --device cpu

tuned | {FINETUNE} --out runs/tuned --backbone regnety_002+gsf --set clip_stride=4 --set epoch_frames=400
tuned-extract | {EXTRACT} --set tuned --weights runs/tuned --match match-05 --match match-06

frozen | {FINETUNE} --out runs/frozen --backbone regnety_002 --set clip_stride=4 --set epoch_frames=400
    --freeze stem,s1,s2 --set norms=frozen --set accumulate=2 --set copies=2 --set layer_decay=0.8
"""
PREDICTIONS = """
predict-best | predict runs/best features/plain --data data --device cpu
predict-together | predict runs/best features/plain --data data --with runs/tcn --out predictions/together --device cpu
predict-seeds | predict runs/seeds features/pca --data data --split all --out predictions/seeds --device cpu
predict-flip | predict runs/flip features/small --data data --device cpu
predict-two | predict runs/two features/plain --features features/pca --data data --device cpu --checkpoint last
predict-bundle | predict bundles/pca.ballspot features/pca --data data --device cpu --out predictions/bundle

predict-video | predict runs/best data/gfootball/2026/match-06/224p.mp4 --out predictions/video --device cpu
predict-fixed | predict runs/original-fixed features/plain --data data --device cpu
predict-original | predict runs/original features/plain --data data --device cpu
predict-tcn | predict runs/tcn features/plain --data data --device cpu
predict-short-flip | predict runs/flip short.ts --out predictions/short-flip --device cpu --keep-features kept
predict-short-bundle | predict bundles/pca.ballspot short.ts --out predictions/short-bundle --device cpu
predict-short-tuned | predict runs/tuned short.ts --out predictions/short-tuned --device cpu
predict-live | predict runs/original-fixed short.ts --live --json --idle 1 --warm-up 4 --threshold 0.05 --device cpu
"""
READINGS = f"""
check | data check data
check-json | data check data --json
stats | data stats data
stats-json | data stats data --json --leave-out match-02
info | cache info features/plain/gfootball/2026/match-01.h5
info-json | cache info features/small/gfootball/2026/match-01.h5 --json
list | cache list features
list-json | cache list features --json
verify | cache verify features
verify-json | cache verify features/pca --json
verify-deep | cache verify features/grid --deep --data data --chunks 1 --json
remove | cache remove features/refit --yes
synth | data synth drawn --matches 2 --minutes 0.05 --size 64x96
to-v2 | data convert data converted/v2 --from labels-ball --to labels-v2
to-osl | data convert data converted/osl.json --from labels-ball --to osl
to-e2e | data convert data converted/e2e.json --from labels-ball --to e2e-spot
to-csv | data convert {SPOTS} converted/spots.csv --from spots --to csv
to-spots | data convert converted/spots.csv converted/spots --from csv --to spots
to-soccertrack | data convert data converted/soccertrack --from labels-ball --to soccertrack-v2
from-e2e | data convert converted/e2e.json converted/ball --from e2e-spot --to labels-ball

zip | export {SPOTS} --out exports/spots.zip
sportscode | export {SPOTS} --format sportscode --threshold 0.1 --out exports/sportscode
vtt | export {SPOTS} --format vtt --threshold 0.1 --out exports/vtt
srt | export {SPOTS} --format srt --threshold 0.1 --classes PASS,DRIVE --out exports/srt
chapters | export {SPOTS} --format chapters --threshold 0.1 --before 2 --after 1 --out exports/chapters
youtube | export {SPOTS} --format youtube --threshold 0.1 --match match-06 --out exports/youtube
csv | export {SPOTS} --format csv --threshold 0.05 --data data --split test --out exports/csv
csv-team | export runs/two/predictions/test --format csv --threshold 0.05 --team left --out exports/csv-team
onnx | export runs/original-fixed --format onnx --out exports/head.onnx
card | export runs/best --format card --out exports/card.md
clips-keyframe | clips {SPOTS} --data data --threshold 0.1 --limit 1 --before 1 --after 1 --out exports/clips
clips-exact | clips {SPOTS} --data data --classes PASS --limit 1 --threshold 0.1 --before 1 --after 1
    --cut exact --out exports/exact
sheet | sheet {SPOTS} --data data --split test --classes PASS,DRIVE --out exports/sheet.png

tune | tune runs/best --data data --min-count 3 --out tuned.json
tune-json | tune runs/original-fixed --data data --json --out tuned-fixed.json
tune-apply | tune runs/best --data data --out tuned-again.json --apply {SPOTS} --to predictions/applied
predict-tuned | predict runs/best features/plain --data data --tuned tuned.json --out predictions/tuned --device cpu
probe | probe features/pca --data data --json --split test
evaluate | evaluate {SPOTS} {SCORE} --diagnose --plots plots
evaluate-json | evaluate {SPOTS} {SCORE} --diagnose --json
evaluate-against | evaluate {SPOTS} {SCORE} --against runs/tcn/predictions/test --json --metric tight
evaluate-tolerance | evaluate runs/tcn/predictions/test {SCORE} --tolerance 3 --against {SPOTS}
evaluate-zip | evaluate exports-theirs.zip {SCORE} --json --fps 12.5
compare | compare runs/original-fixed runs/best runs/tcn --block 10 --resamples 100
compare-json | compare runs/original-fixed runs/best runs/tcn --split test --format json --block 10 --resamples 100
compare-sweep | compare runs/sweep --format json --block 10 --resamples 100
compare-heads | compare runs/heads --format markdown --block 10 --resamples 100
compare-latex | compare runs/sweep --format latex --block 10 --resamples 100
compare-csv | compare runs/sweep runs/tuned --format csv --block 10 --resamples 100
report | compare runs/sweep --report report.html --block 10 --resamples 100
"""
WRONG = f"""
other-run | {TRAIN} runs/best --seed 1
no-key | {TRAIN} runs/wrong --set n_epoch=3
no-value | {TRAIN} runs/wrong --set n_epochs=three
no-head | {TRAIN} runs/wrong --head transfomer
other-features | predict runs/best features/pca --data data
no-weights | extract data --out wrong --weights rnadom
no-size | extract data --out wrong --weights random --size 224
no-finetune-key | {FINETUNE} --out runs/wrong --backbone regnety_002 --set scaling=match

no-data | data check dtaa
no-run | predict runs/bst features/plain --data data
run-for-spots | evaluate runs/best --data data
runs-for-run | compare runs
no-sweep | sweep experiment2 features/plain --data data --out runs/wrong
no-class | export {SPOTS} --format csv --classes GAOL --out wrong
no-labels | evaluate {SPOTS} --data data --labels ball12
no-command | evalute {SPOTS} --data data
is-there | export runs/best --format card --out exports/card.md
is-a-run | export runs/best --format csv --out wrong
broken-store | cache verify broken
version | --version
"""
PHASES = {"stores": STORES, "runs": RUNS, "predictions": PREDICTIONS, "readings": READINGS, "wrong": WRONG}
MAKING = ("stores", "runs")  # what --reuse takes from an earlier recording

# What differs from one recording to the next by nature.
VARYING_KEYS = {"started", "finished", "version", "git_commit", "torch", "timm", "train_s", "epoch_s", "seconds"}
VARYING_KEYS |= {"peak_memory_mb", "n_threads", "host", "created"}
VARYING_TEXT = (
    (re.compile(r"/\S+?/work/(?=runs/)"), "WORK/"),  # of an earlier recording
    (re.compile(r"\d[\d.,]* frames/s"), "# frames/s"),
    (re.compile(r" in \d[\d.,]* s\b"), " in # s"),
    (re.compile(r"(^epoch .*  )\d[\d.]* s$", re.MULTILINE), r"\1# s"),
    (re.compile(r"(parameters, )\d[\d.]* s\)"), r"\1# s)"),
    (re.compile(r"version \d+(\.\d+)+\S*"), "version #"),
)
PROGRESS = re.compile(r"(left|running)$")
ARRAY_SUFFIXES = (".npz", ".npy")
SHOWN_LINES = 12


def main() -> None:
    """Records, or compares two recordings."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("record")
    one.add_argument("folder", type=Path)
    one.add_argument("--matches", type=Path, default=ROOT / "tests" / "matches")
    one.add_argument("--reuse", type=Path)
    two = verbs.add_parser("compare")
    two.add_argument("before", type=Path)
    two.add_argument("after", type=Path)
    two.add_argument("--common", action="store_true")
    given = parser.parse_args()
    if given.verb == "record":
        record(given.folder.resolve(), given.matches.resolve(), given.reuse)
    else:
        sys.exit(compare(given.before, given.after, common=given.common))


def record(folder: Path, matches: Path, reuse: Path | None) -> None:
    """Runs what a folder has no text of, describes all files, and writes record.json."""
    work = folder / "work"
    if not work.is_dir():
        shutil.copytree(matches, work / "data", ignore=shutil.ignore_patterns("*.py", "*.md", "__pycache__"))
        (work / "sweep.toml").write_text(SWEEP)
        (work / "heads.toml").write_text(HEADS)
        cut_short(work / "data" / "gfootball" / "2026" / "match-07" / "224p.mp4", work / "short.ts")
        if reuse:
            copy_made(reuse, folder)
    print("recording", said([sys.executable, "-c", "import ballspot; print(ballspot.__file__)"], work)[1].strip())
    record_help(folder)
    for phase, steps in PHASES.items():
        if phase in MAKING and (folder / "made.json").is_file():
            continue
        if phase == "readings":
            settle_times(work / "runs")
            zip_spots(work / SPOTS, work / "exports-theirs.zip")
        if phase == "wrong":
            break_store(work / "features/plain/gfootball/2026/match-01.h5", work / "broken")
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda chain: run_chain(chain, folder), chains(steps)))
        if phase == MAKING[-1]:
            made = [str(path.relative_to(work)) for path in files_of(work)]
            (folder / "made.json").write_text(json.dumps(made))
    for path in files_of(work):
        keep(folder, f"files/{path.relative_to(work)}", "\n".join(described(path)))
    texts = folder / "texts"
    digests = {str(path.relative_to(texts))[: -len(".txt")]: digest(path.read_bytes()) for path in texts.rglob("*.txt")}
    (folder / "record.json").write_text(json.dumps(dict(sorted(digests.items())), indent=1) + "\n")
    crashed = [path for path in texts.rglob("*.txt") if "Traceback" in path.read_text(encoding="utf-8")]
    print(f"{folder}: {len(digests)} texts" + "".join(f"\n*** a traceback in {path}" for path in crashed))


def keep(folder: Path, name: str, text: str) -> None:
    """Writes a text without what differs by nature."""
    place = text_file(folder, name)
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_suffix(".part")
    part.write_text(cleaned(text, folder / "work"), encoding="utf-8")
    part.replace(place)


def text_file(folder: Path, name: str) -> Path:
    """Where a text lies."""
    return folder / "texts" / f"{name}.txt"


def cut_short(video: Path, place: Path) -> None:
    """The first ten seconds of a video as MPEG-TS, which can be read before it has ended."""
    with av.open(str(video)) as source, av.open(str(place), "w", format="mpegts") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.pts is not None and packet.pts * float(stream.time_base or 0) < 10:
                packet.stream = copy
                target.mux(packet)


def settle_times(runs: Path) -> None:
    """Gives all runs the same times, memory and versions, since reports and CSV show these, too."""
    settled = {"started": "2026-01-01T00:00:00+0000", "finished": "2026-01-01T00:00:10+0000", "version": "0.0.0"}
    settled |= {"git_commit": "0" * 40, "torch": "0.0.0", "train_s": 10.0, "peak_memory_mb": 100.0}
    for path in (*runs.rglob("metrics.json"), *runs.rglob("run.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        content |= {key: value for key, value in settled.items() if key in content}
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def zip_spots(folder: Path, place: Path) -> None:
    """A zip file of predictions as another system would hand it in."""
    with zipfile.ZipFile(place, "w") as file:
        for path in sorted(folder.rglob("results_spotting.json")):
            file.write(path, path.relative_to(folder))


def break_store(store: Path, folder: Path) -> None:
    """A feature set of one store, one byte of which has changed."""
    if folder.is_dir():
        return
    content = bytearray(store.read_bytes())
    content[len(content) // 2] ^= 1
    folder.mkdir()
    (folder / "match-01.h5").write_bytes(content)


def copy_made(before: Path, folder: Path) -> None:
    """Takes the stores, runs and bundles of an earlier recording, which are not made again then."""
    for name in json.loads((before / "made.json").read_text()):
        place = folder / "work" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(before / "work" / name, place)
    shutil.copy(before / "made.json", folder)


def files_of(work: Path) -> list[Path]:
    """All files but the matches and what this script put beside them."""
    mine = {"short.ts", "sweep.toml", "heads.toml", "exports-theirs.zip", "data", "broken"}
    return [path for path in sorted(work.rglob("*")) if path.is_file() and path.relative_to(work).parts[0] not in mine]


def record_help(folder: Path) -> None:
    """The help of the program and of every command and subcommand that its help names."""
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        with ThreadPoolExecutor(2) as pool:
            asked = list(pool.map(lambda words: ballspot([*words, "--help"], folder / "work")[1], waiting))
        for words, text in zip(waiting, asked, strict=True):
            keep(folder, f"help/{'-'.join(['ballspot', *words])}", text)
        waiting = [(*words, name) for words, text in zip(waiting, asked, strict=True) for name in commands_in(text)]


def commands_in(text: str) -> list[str]:
    """The names below Commands: in a help."""
    return re.findall(r"^  ([a-z]\S*)", text.partition("\nCommands:\n")[2], re.MULTILINE)


def chains(steps: str) -> list[list[tuple[str, str]]]:
    """Names and commands, a list for each chain."""
    found = []
    for block in steps.strip().split("\n\n"):
        pairs = [line.split(" | ", 1) for line in block.replace("\n    ", " ").splitlines()]
        found.append([(name, command) for name, command in pairs])
    return found


def run_chain(chain: list[tuple[str, str]], folder: Path) -> None:
    """Keeps what each command of a chain printed, with its exit code."""
    for marked, command in chain:
        name = marked.removesuffix("*")
        if text_file(folder, f"commands/{name}").is_file():
            continue
        code, out, err = ballspot(shlex.split(command), folder / "work")
        print(f"{name}: exit code {code}", flush=True)
        lines = [line for line in err.replace("\r", "\n").splitlines() if not PROGRESS.search(line)]
        shown = [*json_text(out).splitlines(), "--- standard error", *lines]
        shown = sorted(shown) if name != marked else shown
        keep(folder, f"commands/{name}", "\n".join([f"$ ballspot {command}", *shown, f"--- exit code {code}"]))


def ballspot(words: list[str], work: Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    return said([sys.executable, "-m", "ballspot.cli", *words], work)


def said(line: list[str], work: Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a process with one thread and lines of 100 columns."""
    environment = {**os.environ, "COLUMNS": "100", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    environment |= {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore", "NO_COLOR": "1"}
    done = subprocess.run(line, cwd=work, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def cleaned(text: str, work: Path) -> str:
    """A text without what differs by nature: places, times, speeds, versions."""
    text = text.replace(str(work), "WORK").replace(str(ROOT), "CHECKOUT")
    for pattern, replacement in VARYING_TEXT:
        text = pattern.sub(replacement, text)
    return text.strip() + "\n"


def described(path: Path) -> Iterable[str]:
    """The content of a file as lines; of large or binary ones digests of their parts."""
    suffix = path.suffix
    if suffix == ".h5":
        return store_lines(path)
    if suffix in (".safetensors", ".ballspot"):
        return tensor_lines(path)
    if suffix in ARRAY_SUFFIXES:
        return array_lines(path)
    if suffix == ".zip":
        return zip_lines(path)
    if suffix == ".onnx":
        return onnx_lines(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        content = path.read_bytes()
        return [f"{len(content)} bytes {digest(content)}"]
    return (json_text(text) if suffix in (".json", ".jsonl") else text).splitlines()


def store_lines(path: Path) -> list[str]:
    """Attributes and data sets of a store."""
    found: list[str] = []

    def add(name: str, item: h5py.Dataset | h5py.Group) -> None:
        found.extend(f"{name} {key} = {item.attrs[key]!r}" for key in sorted(item.attrs))
        if isinstance(item, h5py.Dataset):
            found.append(f"{name} chunks {item.chunks} {array_line(item[()])}")

    with h5py.File(path, "r") as file:
        add("/", file)
        file.visititems(add)
    if any(line.startswith("/ weights = np.bytes_(b'/") for line in found):  # the digest covers a path that differs
        found = [line for line in found if not line.startswith("/ header_sha256 ")]
    return found


def tensor_lines(path: Path) -> Iterator[str]:
    """Metadata and tensors of a safetensors file."""
    with safe_open(path, "np") as file:
        for key, value in sorted((file.metadata() or {}).items()):
            yield from (f"{key}: {line}" for line in json_text(value).splitlines())
        for name in sorted(file.keys()):
            yield f"{name} {array_line(file.get_tensor(name))}"


def array_lines(path: Path) -> Iterator[str]:
    """The arrays of a numpy file."""
    loaded = np.load(path, allow_pickle=False)
    arrays = {"": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    for name in sorted(arrays):
        yield f"{name} {array_line(arrays[name])}"


def array_line(array: Any) -> str:
    """Type, shape, size of values and digest of an array."""
    array = np.asarray(array)
    is_number = array.dtype.kind in "fiu" and array.size > 0
    size = f" mean size {np.abs(array.astype(np.float64)).mean():.9g}" if is_number else ""
    shown = f" {array.ravel().tolist()}" if array.size <= 4 else ""
    return f"{array.dtype} {array.shape}{size} {digest(np.ascontiguousarray(array).tobytes())}{shown}"


def zip_lines(path: Path) -> Iterator[str]:
    """Names and contents of a zip file."""
    with zipfile.ZipFile(path) as file:
        for name in file.namelist():
            yield f"{name} {digest(file.read(name))}"


def onnx_lines(path: Path) -> Iterator[str]:
    """What an ONNX model says of itself, its operators and its weights, without the names of nodes."""
    import onnx

    model = onnx.load(str(path))
    yield from sorted(f"{item.key}: {item.value}" for item in model.metadata_props)
    for item in (*model.graph.input, *model.graph.output):
        yield " ".join(str(item).split())
    yield " ".join(node.op_type for node in model.graph.node)
    yield from sorted(array_line(onnx.numpy_helper.to_array(item)) for item in model.graph.initializer)


def json_text(text: str) -> str:
    """JSON, or JSON lines, indented and without times; any other text as it is."""
    try:
        return json.dumps(without_times(json.loads(text)), indent=1, ensure_ascii=False)
    except ValueError:
        try:
            return "\n".join(json.dumps(without_times(json.loads(line))) for line in text.splitlines())
        except ValueError:
            return text


def without_times(value: Any) -> Any:
    """A JSON value without the keys that differ by nature."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in VARYING_KEYS}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def digest(content: bytes) -> str:
    """The first half of a SHA-256."""
    return hashlib.sha256(content).hexdigest()[:32]


def compare(before: Path, after: Path, *, common: bool) -> int:
    """Prints what differs; 1 if anything does."""
    old, new = (json.loads((folder / "record.json").read_text()) for folder in (before, after))
    names = sorted(old.keys() & new.keys() if common else old.keys() | new.keys())
    differing = [name for name in names if old.get(name) != new.get(name)]
    for name in differing:
        if name not in old or name not in new:
            print(f"{name}: only {'before' if name in old else 'after'}")
            continue
        old_lines, new_lines = (
            text_file(folder, name).read_text(encoding="utf-8").splitlines() for folder in (before, after)
        )
        difference = list(difflib.unified_diff(old_lines, new_lines, n=0, lineterm=""))[2:]  # after the files' names
        lines = [line for line in difference if not line.startswith("@@")]
        more = [f"... {len(lines) - SHOWN_LINES} lines more"] if len(lines) > SHOWN_LINES else []
        print("\n  ".join([f"{name}: differs", *(line[:300] for line in lines[:SHOWN_LINES]), *more]))
    print(f"{len(names) - len(differing)} of {len(names)} are the same")
    return 1 if differing else 0


if __name__ == "__main__":
    main()
