"""How long a clip takes, cold and warm, and how long a toggle of modalities takes.

`python -m benchmarks.clip` writes results/clip-cpu.json. Every extraction is measured in a process of its own: a cold
one counts Python's start, imports and model loading, a warm one only the extraction. The path is "plain"
(`extractors.pipeline`) or "isolated" (`extractors.workers.client`, as the app does it, in a warm process).

With `--against FOLDER`, another version of the project, it writes results/clip-against-cpu.json instead: warm
extractions by both, in turn.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from alignmamba.config import CONFIG, read_json
from alignmamba.modality import SUBSETS
from extractors.storage.config import feature_set_of
from training.reporting.result_files import ROOT, write

if TYPE_CHECKING:
    from alignmamba.predictor import Predictor

SAMPLE = ROOT / "app" / "samples" / "positive.webm"
CHECKPOINT = ROOT / "checkpoints" / "alignmamba-open"
ENCODER = str(CHECKPOINT / "encoder")
FEATURES = feature_set_of(read_json(CHECKPOINT / CONFIG)["schema"])  # that the app extracts
WIDTH, HEIGHT = 1280, 720  # pixels
SECONDS = 10.0
FRAME_RATE = 25  # frames per second
AUDIO_RATE = 48_000  # Hz
WARM_RUNS = 3
ROUNDS = 7  # of two versions in turn
TOGGLE_ROUNDS = 30  # each over all seven subsets


def make_clip(path: Path, *, sample: Path = SAMPLE, seconds: float = SECONDS) -> None:
    """Write a 720p H.264 + AAC clip: the sample, fitted into the frame and repeated with its sound."""
    frames, sound = _decode(sample)
    left = (WIDTH - HEIGHT) // 2
    with av.open(str(path), "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=FRAME_RATE, options={"preset": "veryfast", "crf": "21"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = container.add_stream("aac", rate=AUDIO_RATE, layout="mono")
        samples = np.resize(sound, round(seconds * AUDIO_RATE))
        for start in range(0, len(samples), 1024):
            chunk = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="fltp", layout="mono")
            chunk.sample_rate, chunk.pts, chunk.time_base = AUDIO_RATE, start, Fraction(1, AUDIO_RATE)
            container.mux(audio.encode(chunk))
        container.mux(audio.encode(None))
        for index in range(round(seconds * FRAME_RATE)):
            canvas = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            square = frames[index % len(frames)].reformat(HEIGHT, HEIGHT, "rgb24")
            canvas[:, left : left + HEIGHT] = square.to_ndarray()
            frame = av.VideoFrame.from_ndarray(canvas, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FRAME_RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))


def _decode(sample: Path) -> tuple[list[av.VideoFrame], np.ndarray]:
    with av.open(str(sample)) as container:
        frames = list(container.decode(video=0))
    with av.open(str(sample)) as container:
        mono = av.AudioResampler(format="fltp", layout="mono", rate=AUDIO_RATE)
        sound = [part.to_ndarray()[0] for frame in container.decode(audio=0) for part in mono.resample(frame)]
    return frames, np.concatenate(sound)


def transcript_of(sample: Path) -> str:
    """Transcript of a sample in samples.json."""
    listing = json.loads((sample.parent / "samples.json").read_text(encoding="utf-8"))
    return next(item["transcript"] for item in listing if item["file"] == sample.name)


def peak_mb(process: int | str = "self") -> float:
    """Largest resident memory of a process so far; of this one only where there is no /proc."""
    status = Path(f"/proc/{process}/status")
    if status.exists():  # getrusage also counts what the parent held at the fork
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # macOS: bytes


def extract_here(clip: Path, *, transcript: str | None, start: str, path: str = "plain") -> dict[str, Any]:
    """Extract and return total_s (warm only), steps_s and peak_mb of all processes; warm is the median of some runs."""
    from extractors import pipeline as clips
    from extractors.workers import client

    way = clips if path == "plain" else client
    runs = 1
    if start == "warm":
        way.warm(encoder=ENCODER)
        runs = WARM_RUNS
    measured = []
    for _ in range(runs):
        begin = time.perf_counter()
        features = way.extract(clip, transcript, encoder=ENCODER, feature_set=FEATURES)
        measured.append((time.perf_counter() - begin, dict(features.step_seconds)))
    total, steps = sorted(measured, key=lambda run: run[0])[len(measured) // 2]
    if features.transcript_source != ("recognised" if transcript is None else "given"):
        raise ValueError(f"transcript: {features.transcript_source}, expected it given or recognised as asked")
    return {"total_s": total, "steps_s": steps, "peak_mb": peak_mb() + sum(map(peak_mb, client.processes()))}


def extract_apart(
    clip: Path, *, transcript: str | None, start: str, path: str = "plain", tree: Path = ROOT
) -> dict[str, Any]:
    """Measure `extract_here` of a version of the project in a fresh process; a cold total is that process's life."""
    command = [sys.executable, "-m", "benchmarks.clip", "--measure", start, "--path", path, str(clip)]
    command += ["--transcript", transcript] if transcript is not None else []
    begin = time.perf_counter()
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)  # noqa: S603
    total = time.perf_counter() - begin
    if done.returncode:
        raise RuntimeError(f"{start} extraction failed:\n{done.stderr}")
    measured = json.loads(done.stdout.splitlines()[-1])
    return {**measured, "total_s": total} if start == "cold" else measured


def toggle_times(predictor: Predictor, clip: Path, *, transcript: str) -> list[float]:
    """Milliseconds of every prediction, over all subsets, many times, for one clip that is set once."""
    from extractors.pipeline import extract

    found = extract(clip, transcript, encoder=predictor.encoder, feature_set=feature_set_of(predictor.schema))
    predictor.set_clip(found)
    times = []
    for round_ in range(1 + TOGGLE_ROUNDS):
        for subset in SUBSETS:
            begin = time.perf_counter()
            predictor.predict(modalities={str(modality) for modality in subset})
            if round_:  # the first round warms up
                times.append(1000 * (time.perf_counter() - begin))
    return times


def rounded(measured: dict[str, Any]) -> dict[str, Any]:
    """Round seconds to milliseconds and memory to megabytes."""
    steps = {name: round(seconds, 3) for name, seconds in measured["steps_s"].items()}
    return {"total_s": round(measured["total_s"], 3), "steps_s": steps, "peak_mb": round(measured["peak_mb"])}


def run(checkpoint: Path) -> list[dict[str, Any]]:
    """Measure everything and return the rows."""
    from alignmamba.predictor import Predictor  # torch: not in the processes whose cold start is measured

    predictor = Predictor.from_pretrained(checkpoint)
    spoken = transcript_of(SAMPLE)
    spoken = f"{spoken} {spoken}"  # the sample is 8 s long and runs into its second round
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        make_clip(clip)
        about = {"clip": f"{SAMPLE.stem}, {WIDTH}x{HEIGHT}, H.264", "seconds_of_video": SECONDS}
        for start, path in (("cold", "plain"), ("warm", "plain"), ("warm", "isolated")):
            for source, transcript in (("recognised", None), ("given", spoken)):
                measured = extract_apart(clip, transcript=transcript, start=start, path=path)
                rows.append({**about, "start": start, "path": path, "transcript": source, **rounded(measured)})
                print(rows[-1], flush=True)
        times = toggle_times(predictor, clip, transcript=spoken)
    p50, p95 = statistics.median(times), float(np.percentile(times, 95))
    rows.append({**about, "toggles": len(times), "toggle_p50_ms": round(p50, 2), "toggle_p95_ms": round(p95, 2)})
    print(rows[-1], flush=True)
    return rows


def run_against(other: Path) -> list[dict[str, Any]]:
    """Measure warm extractions, speech recognised, of this version and another in turn, and their ratios."""
    trees = {"this": ROOT, "other": other}
    seconds: dict[str, list[float]] = {name: [] for name in trees}
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        make_clip(clip)
        for _ in range(ROUNDS):
            for name, tree in trees.items():
                measured = extract_apart(clip, transcript=None, start="warm", tree=tree)
                seconds[name].append(measured["total_s"])
                print(name, rounded(measured), flush=True)
    ratios = sorted(this / before for this, before in zip(seconds["this"], seconds["other"], strict=True))
    asked = ["git", "-C", str(other), "rev-parse", "--short", "HEAD"]
    row = {
        "other": subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip(),  # noqa: S603
        "rounds": ROUNDS,
        **{f"{name}_s": round(statistics.median(every), 3) for name, every in seconds.items()},
        "ratio_low": round(ratios[1], 3),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_high": round(ratios[-2], 3),
    }
    print(row, flush=True)
    return [row]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measure extraction of a 10-s 720p clip and toggling of modalities.")
    parser.add_argument(
        "--out", type=Path, default=None, help="folder for the result file (default: benchmarks/results)"
    )
    parser.add_argument("--measure", choices=("cold", "warm"), help=argparse.SUPPRESS)
    parser.add_argument("--path", choices=("plain", "isolated"), default="plain", help=argparse.SUPPRESS)
    parser.add_argument("clip", type=Path, nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--transcript", help=argparse.SUPPRESS)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT, help="folder of the checkpoint that predicts")
    parser.add_argument("--against", type=Path, help="folder of another version of the project")
    arguments = parser.parse_args()
    if arguments.measure:
        measured = extract_here(
            arguments.clip, transcript=arguments.transcript, start=arguments.measure, path=arguments.path
        )
        print(json.dumps(measured))
        return
    from alignmamba.ops.device import default_device  # torch, as in `run`

    folder = {} if arguments.out is None else {"folder": arguments.out}
    device = default_device().type
    if arguments.against is not None:
        command = "python -m benchmarks.clip --against FOLDER"
        print(write("clip-against", command, run_against(arguments.against.resolve()), device=device, **folder))
        return
    print(write("clip", "python -m benchmarks.clip", run(arguments.checkpoint), device=device, **folder))


if __name__ == "__main__":
    main()
