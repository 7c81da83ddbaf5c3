"""Peak memory of extracting a 2-minute and a 60-minute video, for every decoder; they must be within 10 %.

    python bench/memory.py DATA [--minutes 2 60] [--decoders pyav decord]

The first match's video is looped by copying its packets. Counted is the peak of the process with the backbone and of
the decoding process, resident, each from the system's own high-water mark. The backbone reads every 25th frame only:
decoding, whose memory may grow, is done in full.
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--minutes", type=float, nargs=2, default=[2, 60])
    parser.add_argument("--decoders", nargs="+", default=["pyav", "decord"])
    options = parser.parse_args()
    from ballspot.evaluate.dataset.matches import find_matches

    source = find_matches(options.data)[0].video
    if source is None:
        raise SystemExit(f"{options.data}: its first match has no video")
    for decoder in options.decoders:
        peaks = []
        for minutes in options.minutes:
            with tempfile.TemporaryDirectory() as folder:
                loop(source, Path(folder) / "match" / "224p.mp4", minutes)
                peaks.append(in_a_process(Path(folder), decoder))
            print(f"{decoder:6} {minutes:5g} min: {sum(peaks[-1]):7.1f} MB ({peaks[-1][0]:.1f} + {peaks[-1][1]:.1f})")
        ratio = sum(peaks[1]) / sum(peaks[0])
        print(f"{decoder:6} ratio {ratio:.3f} {'ok' if abs(ratio - 1) <= 0.1 else 'MORE THAN 10 % APART'}")


def loop(source: Path, out: Path, minutes: float) -> None:
    """Writes the packets of `source` again and again until there are that many minutes."""
    import av

    out.parent.mkdir(parents=True)
    with av.open(str(out), "w") as new:
        copy, shift, copied_s = None, 0, 0.0
        while copied_s < 60 * minutes:
            with av.open(str(source)) as old:
                stream = old.streams.video[0]
                copy = copy or new.add_stream_from_template(stream)
                n_packets = last = 0
                for packet in old.demux(stream):
                    if not packet.size or packet.pts is None or packet.dts is None or packet.time_base is None:
                        continue
                    n_packets += 1
                    last = max(last, packet.pts + (packet.duration or 0))
                    if copied_s + float(packet.pts * packet.time_base) >= 60 * minutes and packet.is_keyframe:
                        break
                    packet.pts += shift
                    packet.dts += shift
                    packet.stream = copy
                    new.mux(packet)
                shift += last
                copied_s += float(last * stream.time_base) if stream.time_base else 60 * minutes


def in_a_process(data: Path, decoder: str) -> tuple[float, float]:
    """Peaks in MB of the extracting and of the decoding process, in a fresh interpreter."""
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=extract, args=(data, decoder, results))
    process.start()
    found = results.get()
    process.join()
    return found


def extract(data: Path, decoder: str, results: object) -> None:
    import torch

    from ballspot.evaluate.dataset.matches import find_matches
    from ballspot.extract.backbone.spec import BackboneSpec
    from ballspot.extract.rows.extraction import extract_matches
    from ballspot.extract.rows.job import Recipe, Settings

    torch.set_num_threads(1)
    child = {"peak": 0.0}
    stopped = threading.Event()

    def watch() -> None:
        import multiprocessing

        while not stopped.is_set():
            for process in multiprocessing.active_children():
                child["peak"] = max(child["peak"], high_water_mb(process.pid))
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    settings = Settings(stride=25, decoder=decoder)
    job = Recipe(BackboneSpec("regnety_002", "random", (224, 398)), settings=settings).job()
    extract_matches(find_matches(data), data / "features", job)
    stopped.set()
    watcher.join()
    results.put((high_water_mb(None), child["peak"]))  # type: ignore[attr-defined]  a multiprocessing queue


def high_water_mb(pid: int | None) -> float:
    """The most memory that a process has held, as Linux counts it; 0 for one that has ended."""
    try:
        status = Path(f"/proc/{pid or 'self'}/status").read_text()
    except OSError:
        return 0.0
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024 if "VmHWM:" in status else 0.0


if __name__ == "__main__":
    main()
