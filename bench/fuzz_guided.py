"""Fuzzes one reader by coverage, with atheris: inputs that reach new code are kept and damaged further.

    python bench/fuzz_guided.py TARGET [--seconds 600] [--seed 1] [--keep FOLDER]

A target is a reader of `fuzz_readers.py` that is Python down to its bytes; without one, all are listed. What libFuzzer
does to bytes and what `fuzz_damage.py` does to values take turns. The contract is the same: success or a one-line
BallspotError, within 60 s and 1 GiB. Findings are printed, each kind once, their inputs are in the folder of `--keep`.
"""

import argparse
import importlib
import importlib.util
import json
import mmap
import os
import random
import re
import tempfile
from pathlib import Path
from typing import Any

GROUPS = ["spots", "configs", "runs", "stores", "requests"]
INSTRUMENTED = ["ballspot", "tomllib"]
CASE_S, MEMORY_BYTES, MOST_BYTES = 60, 2**30, 20_000
N_SEEDS = 50  # damaged samples that the corpus begins with


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz one reader by coverage.")
    parser.add_argument("target", nargs="?", help="which reader; all are listed without one")
    parser.add_argument("--seconds", type=int, default=600, help="how long")
    parser.add_argument("--seed", type=int, default=1, help="of the damage")
    parser.add_argument("--keep", type=Path, help="folder for the corpus, findings and libFuzzer's log")
    options = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        parser.error("atheris is not installed; pip install 'ballspot[fuzz]'")
    with tempfile.TemporaryDirectory() as folder:
        keep = options.keep or Path(folder) / "kept"
        (keep / "corpus").mkdir(parents=True, exist_ok=True)
        n_cases = mmap.mmap(-1, 8)
        child = os.fork()  # libFuzzer ends the process that it runs in
        if child == 0:
            _fuzz(options.target, options.seconds, options.seed, Path(folder), keep, n_cases)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        n_findings = _report(options.target, keep, int.from_bytes(n_cases[:8], "little"), status)
    raise SystemExit(bool(n_findings))


def _fuzz(name: str | None, seconds: int, seed: int, folder: Path, keep: Path, n_cases: mmap.mmap) -> None:
    """The child's work; where a target is named it does not return."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=INSTRUMENTED):
        from fuzz_cases import described, limit_memory, load_targets, read_damaged
        from fuzz_damage import damage

        targets = load_targets(GROUPS, folder)
    if name not in targets:
        print("\n".join(targets), flush=True)
        return
    target = targets[name]
    draw = random.Random(seed)
    seeds = [*target.samples, *(damage(draw, draw.choice(target.samples), (), target.packing) for _ in range(N_SEEDS))]
    for at, content in enumerate(seeds):
        (keep / "corpus" / f"seed-{at}").write_bytes(content[:MOST_BYTES])
    seen: set[str] = set()

    def test(data: bytes) -> None:
        n_cases[:8] = (int.from_bytes(n_cases[:8], "little") + 1).to_bytes(8, "little")
        what = read_damaged(target, data)
        if what is None or type(what).__name__ == "BallspotError":
            return
        key, text = described(name, what)
        if key not in seen:
            seen.add(key)
            (keep / f"finding-{len(seen)}").write_bytes(data)
            with (keep / "findings.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(json.dumps([key, text]) + "\n")

    def mutate(data: bytes, max_size: int, number: int) -> bytes:
        draw = random.Random(number)
        if draw.random() < 0.5:
            return atheris.Mutate(data, max_size)
        return damage(draw, data, target.samples, target.packing)[:max_size]

    log = os.open(keep / "libfuzzer.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 2)
    limit_memory(MEMORY_BYTES)
    options = {"max_total_time": seconds, "timeout": CASE_S, "max_len": MOST_BYTES, "seed": seed, "rss_limit_mb": 0}
    words = [f"-{key}={value}" for key, value in options.items()]
    atheris.Setup(
        ["fuzz_guided", *words, f"-artifact_prefix={keep}/", str(keep / "corpus")], test, custom_mutator=mutate
    )
    atheris.Fuzz()


def _report(name: str | None, keep: Path, n_cases: int, status: int) -> int:
    """Prints what came of it; how many findings there are."""
    log = keep / "libfuzzer.log"
    if not log.is_file():
        return status
    found = keep / "findings.jsonl"
    findings = (
        [json.loads(line)[1] for line in found.read_text(encoding="utf-8").splitlines()] if found.is_file() else []
    )
    text = log.read_text(encoding="utf-8", errors="replace")
    if status:
        findings.append(f"{name}: libFuzzer ended with {status}\n{text[-2000:]}")
    reached = re.findall(r"cov: (\d+)", text)
    print(f"{name:28} {n_cases:8} cases, {reached[-1] if reached else '?'} places reached, {len(findings)} findings")
    for finding in findings:
        print(finding)
    return len(findings)


if __name__ == "__main__":
    main()
