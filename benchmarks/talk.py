"""How long a talk of minutes takes, in time, computing time and memory.

`python -m benchmarks.talk DATA` composes a talk of the real clips in DATA/clips/talking, which lie outside the
project, and writes results/talk-cpu.json. The talk is extracted in a warm worker process, as the app does it, and
predicted here. The load of the machine is written beside the seconds: where others use it, the computing time tells
more.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.clip import CHECKPOINT, peak_mb
from training.reporting.result_files import write

SECONDS = 600.0
WIDTH, HEIGHT = 1280, 720  # pixels
FRAME_RATE = 25  # frames per second
AUDIO_RATE = 16_000  # Hz
LEAST_SECONDS = 3.0  # of a clip that is used
BUDGET_SECONDS = 4 * 3600.0  # a busy machine may take long
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100  # per second


def compose(path: Path, clips: list[Path], *, seconds: float) -> None:
    """Write an H.264 + AAC talk of clips, one after the other and again from the first."""
    with av.open(str(path), "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=FRAME_RATE, options={"preset": "ultrafast", "crf": "23"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = container.add_stream("aac", rate=AUDIO_RATE, layout="mono")
        frames = samples = 0
        for clip in itertools.cycle(clips):
            for image in _images(clip):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = frames, Fraction(1, FRAME_RATE)
                container.mux(video.encode(frame))
                frames += 1
            wanted = round(frames / FRAME_RATE * AUDIO_RATE) - samples
            for chunk in _chunks(clip, wanted):
                chunk.pts, chunk.time_base = samples, Fraction(1, AUDIO_RATE)
                samples += chunk.samples
                container.mux(audio.encode(chunk))
            if frames >= seconds * FRAME_RATE:
                break
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def _images(clip: Path) -> Iterator[np.ndarray]:
    """Yield a clip's frames at the talk's rate, fitted into its frame."""
    with av.open(str(clip)) as container:
        shown = 0
        for frame in container.decode(video=0):
            scale = min(WIDTH / frame.width, HEIGHT / frame.height)
            width, height = round(scale * frame.width), round(scale * frame.height)
            canvas = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            left, top = (WIDTH - width) // 2, (HEIGHT - height) // 2
            canvas[top : top + height, left : left + width] = frame.reformat(width, height, "rgb24").to_ndarray()
            while shown / FRAME_RATE <= (frame.time or 0.0):
                shown += 1
                yield canvas


def _chunks(clip: Path, wanted: int) -> Iterator[av.AudioFrame]:
    """Yield a clip's sound, cut or filled with silence to a number of samples."""
    with av.open(str(clip)) as container:
        mono = av.AudioResampler(format="fltp", layout="mono", rate=AUDIO_RATE)
        parts = [part.to_ndarray()[0] for frame in container.decode(audio=0) for part in mono.resample(frame)]
    sound = np.concatenate(parts)[:wanted]
    sound = np.pad(sound, (0, wanted - len(sound))).astype(np.float32)
    for first in range(0, wanted, 1024):
        chunk = av.AudioFrame.from_ndarray(sound[None, first : first + 1024], format="fltp", layout="mono")
        chunk.sample_rate = AUDIO_RATE
        yield chunk


def cpu_seconds(process: int) -> float:
    """Computing time of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS  # user, system


def measure(talk: Path, seconds: float) -> dict[str, Any]:
    """Extract and predict a talk; the worker's models are loaded before."""
    from alignmamba.modality import SUBSETS
    from alignmamba.predictor import Predictor
    from extractors.media.probe import LONG_LIMITS
    from extractors.storage.config import feature_set_of
    from extractors.workers import client

    predictor = Predictor.from_pretrained(CHECKPOINT)
    client.warm(encoder=predictor.encoder)
    (worker,) = client.processes()
    warm_mb, before, begin = peak_mb(worker), cpu_seconds(worker), time.perf_counter()
    features = client.extract(
        talk,
        limits=LONG_LIMITS,
        encoder=predictor.encoder,
        feature_set=feature_set_of(predictor.schema),
        budget=client.Budget(seconds=BUDGET_SECONDS, cpu_seconds=BUDGET_SECONDS),
    )
    total, used = time.perf_counter() - begin, cpu_seconds(worker) - before
    begin, began = time.perf_counter(), time.process_time()
    predictor.set_clip(features)
    for subset in SUBSETS:
        predictor.predict(modalities={str(modality) for modality in subset})
    return {
        "seconds_of_video": round(features.duration, 1),
        "video": f"{WIDTH}x{HEIGHT}, H.264",
        "total_s": round(total, 1),
        "cpu_s": round(used, 1),
        "share_of_length": round(total / seconds, 3),
        "cpu_share_of_length_on_two_cores": round(used / 2 / seconds, 3),
        "steps_s": {name: round(took, 1) for name, took in features.step_seconds.items()},
        "peak_mb": round(peak_mb(worker)),
        "warm_mb": round(warm_mb),
        "words": len(features.words),
        "face_valid_share": round(float(features.video.valid.mean()), 3),
        "predict_s": round(time.perf_counter() - begin, 2),
        "predict_cpu_s": round(time.process_time() - began, 2),
        "predict_peak_mb": round(peak_mb()),
        "load_average": round(os.getloadavg()[1], 1),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measure the extraction of a talk of minutes.")
    parser.add_argument("data", type=Path, help="folder with clips/talking")
    parser.add_argument("--seconds", type=float, nargs="+", default=[SECONDS], help="lengths of the talks")
    parser.add_argument("--out", type=Path, default=None, help="folder for the result file")
    arguments = parser.parse_args()
    clips = []
    for clip in sorted((arguments.data / "clips" / "talking").glob("*.mp4")):
        with av.open(str(clip)) as container:
            if container.streams.audio and (container.duration or 0) / av.time_base >= LEAST_SECONDS:
                clips.append(clip)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seconds in arguments.seconds:
            talk = Path(folder) / "talk.mp4"
            compose(talk, clips, seconds=seconds)
            rows.append({"clips": [clip.name for clip in clips], **measure(talk, seconds)})
            print(rows[-1], flush=True)
    where = {} if arguments.out is None else {"folder": arguments.out}
    print(write("talk", "python -m benchmarks.talk DATA", rows, device="cpu", **where))


if __name__ == "__main__":
    main()
