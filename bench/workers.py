"""Two workers against one on two cores, and Ray with two workers, once started: wall time of the same extraction.

python bench/workers.py DATA [--matches 2] [--rounds 3] [--engine torch] [--no-ray]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--matches", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", default="torch")
    parser.add_argument("--no-ray", action="store_true")
    options = parser.parse_args()
    from ballspot.cache.workers import Executor
    from ballspot.evaluate.dataset.matches import find_matches
    from ballspot.extract.backbone.engines import default_batch_rows
    from ballspot.extract.backbone.spec import BackboneSpec
    from ballspot.extract.rows.crew import crew_of
    from ballspot.extract.rows.extraction import extract_matches
    from ballspot.extract.rows.job import Recipe, Settings
    from ballspot.extract.rows.segments import Crew

    settings = Settings(engine=options.engine, batch_rows=default_batch_rows(options.engine, "cpu"))
    recipe = Recipe(BackboneSpec("regnety_002", "random", (224, 398)), settings=settings)
    job = recipe.job()
    matches = find_matches(options.data)[: options.matches]

    def timed(crew: Crew, n_matches: int = options.matches) -> float:
        """Rows a second from the first row that is done to the last: without the start of the workers."""
        moments: list[tuple[float, int]] = []

        def watched(tasks, is_dropped, on_rows):
            def seen(n_rows: int, is_new: bool) -> None:
                moments.append((time.perf_counter(), n_rows))
                on_rows(n_rows, is_new)

            began = time.perf_counter()
            for outcome in crew(tasks, is_dropped, seen):
                moments.append((time.perf_counter(), 0))
                yield outcome
            moments.append((began, 0))

        with tempfile.TemporaryDirectory() as folder:
            extract_matches(matches[:n_matches], Path(folder), job, crew=watched)
        rows = sorted(moment for moment in moments if moment[1])
        first = rows[0][0] if len(rows) > 100 else moments[-1][0]  # Ray tells of whole segments only
        return sum(n_rows for _, n_rows in rows) / (max(at for at, _ in rows) - first)

    crews = {
        "one worker": crew_of(Executor(1), recipe),
        "two workers": crew_of(Executor(2), recipe),
    }
    rates: dict[str, list[float]] = {name: [] for name in crews}
    for turn in range(options.rounds):
        for name in list(crews) if turn % 2 == 0 else list(reversed(crews)):
            rates[name].append(timed(crews[name]))
    if not options.no_ray:  # last: a Ray that waits still takes a part of both cores
        cluster = crew_of(Executor(2, "ray"), recipe)
        timed(cluster, 1)  # starts Ray and loads the backbone in its workers
        rates["ray, two workers"] = [timed(cluster) for _ in range(options.rounds)]
    one = statistics.median(rates["one worker"])
    for name, found in rates.items():
        print(f"{name:18} {statistics.median(found):7.1f} frames/s  {statistics.median(found) / one:5.2f}x")


if __name__ == "__main__":
    main()
