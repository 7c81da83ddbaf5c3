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
from sameness_commands import HEADS, MAKING, PHASES, SPOTS, SWEEP

ROOT = Path(__file__).resolve().parents[1]


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
        if not (before / "work" / name).exists():  # a later command took it away
            continue
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
