from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest

from extractors import pipeline
from extractors.language.transcript import Transcript
from extractors.media.probe import Limits
from extractors.messages import Message
from extractors.schema import Word
from extractors.storage import feature_files
from extractors.workers import client
from extractors.workers import process as isolate_process
from extractors.workers.client import (
    AssetError,
    Budget,
    CancelledError,
    MediaError,
    TranscriptError,
    WorkerError,
    extract,
)
from extractors.workers.pool import Pool
from tests.extractors.support.clips import every, face, grey, make_clip, tone
from tests.extractors.support.processes import PATIENCE, wait_until_gone
from tests.paths import ROOT

SPOKEN = Transcript(
    words=(Word(text="lovely", start=0.25, end=0.75),), source="given", notes=(Message("words_corrected"),)
)


@pytest.fixture(scope="module")
def portrait(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "portrait.webm"
    return make_clip(path, frames=every(1, face()), sound=tone(1, rate=48_000), rate=48_000)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A minute of nothing to see, cheap but for its length."""
    pictures = [(index / 10, grey(index % 100)) for index in range(600)]
    return make_clip(tmp_path_factory.mktemp("clips") / "film.mp4", frames=pictures, fps=10)


def busy():
    """Ids of the processes at work."""
    idle = {worker.pid for worker in client._pool._idle}
    return [pid for pid in client.processes() if pid not in idle]


def harm(how):
    """A hook that sends a signal to the process at work as soon as it looks at the picture, once."""
    harmed = []

    def hook(step, completed, total):
        if step == "face" and not harmed:
            harmed.extend(busy())
            for pid in harmed:
                os.kill(pid, how)

    return hook


def test_the_features_are_the_same_to_the_last_bit(portrait):
    told = []
    features = extract(portrait, SPOKEN, lambda *event: told.append((threading.get_ident(), event)))
    expected = pipeline.extract(portrait, SPOKEN)
    for name in ("audio", "video", "language"):
        ours, theirs = features.modality(name), expected.modality(name)
        for array in ("values", "start", "end", "valid"):
            assert np.array_equal(getattr(ours, array), getattr(theirs, array))
    assert features.words == expected.words == SPOKEN.words
    assert (features.schema, features.duration, features.notes) == (pipeline.SCHEMA, expected.duration, expected.notes)
    assert {thread for thread, _ in told} == {threading.get_ident()}
    assert {step for _, (step, _, _) in told} == set(pipeline.STEPS)


def test_a_process_serves_many_clips(portrait):
    extract(portrait, SPOKEN)
    before = client.processes()
    extract(portrait, SPOKEN)
    assert client.processes() == before


def test_foreseen_errors_are_the_same(tmp_path, portrait):
    (tmp_path / "x.mp4").write_bytes(b"not a video")
    with pytest.raises(MediaError, match="not a video") as caught:
        extract(tmp_path / "x.mp4")
    assert caught.value.detail
    with pytest.raises(MediaError, match="longer than"):
        extract(portrait, limits=Limits(seconds=0.1))
    with pytest.raises(TranscriptError, match="the limit is"):
        extract(portrait, "word " * 10_000)
    with pytest.raises(AssetError, match="nowhere"):
        extract(portrait, "good", encoder=str(tmp_path / "nowhere"))


def test_an_unforeseen_error_has_its_traceback(portrait, monkeypatch, tmp_path):
    gone = tmp_path / "gone"  # where the process shall write
    monkeypatch.setattr(client.tempfile, "TemporaryDirectory", lambda **_: contextlib.nullcontext(str(gone)))
    with pytest.raises(WorkerError, match=r"(?s)Traceback.*FileNotFoundError.*gone"):
        extract(portrait, SPOKEN)


@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_crash_ends_its_clip_and_nothing_else(film, portrait, how, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(MediaError, match="made the extraction crash") as caught:
        extract(film, None, harm(how))
    assert caught.value.detail.startswith(how.name) and "face" in caught.value.detail
    assert list(tmp_path.iterdir()) == []
    if how is signal.SIGSEGV:
        assert extract(portrait, SPOKEN).words == SPOKEN.words


def test_a_process_that_cannot_start_is_not_the_clips_fault(film, monkeypatch):
    monkeypatch.setattr(client, "_pool", Pool(1))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(WorkerError, match="ended before it began: exit code 1"):
        extract(film)
    client._pool.close()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(WorkerError, match="No process can be started"):
        extract(film)


def test_a_hang_is_ended_by_the_clock(film, portrait):
    stop, stopped = harm(signal.SIGSTOP), []

    def hook(step, completed, total):
        stopped.extend(busy())
        stop(step, completed, total)

    with pytest.raises(MediaError, match="took longer than 1 s"):
        extract(film, None, hook, budget=Budget(seconds=1.0))
    assert not set(stopped) & set(client.processes())
    assert extract(portrait, SPOKEN).words == SPOKEN.words


def test_memory_is_limited(film):
    with pytest.raises(MediaError, match="more memory"):
        extract(film, budget=Budget(memory_bytes=50_000_000))


def test_computing_time_is_limited(tmp_path):
    # The kernel counts whole seconds: a clip of several.
    path = make_clip(tmp_path / "film.mp4", frames=every(40, face(), fps=10), fps=10)
    with pytest.raises(MediaError, match="more computing time"):
        extract(path, budget=Budget(cpu_seconds=0.0))


def test_what_the_hook_raises_cancels(film):
    class GivenUpError(Exception):
        pass

    def give_up(step, completed, total):
        if step == "face":
            raise GivenUpError

    with pytest.raises(GivenUpError):
        extract(film, None, give_up)


def test_a_cancelled_clip_stops_at_its_next_report_and_its_process_stays(film, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(isolate_process, "STOP_SECONDS", PATIENCE)  # it must stop by itself
    pids, written, cancel = [], [], threading.Event()
    stop = isolate_process.Process._stop

    def stop_and_look(process):
        pids.append(process.pid)
        stop(process)
        written.extend(tmp_path.rglob(f"*{feature_files.SUFFIX}"))

    monkeypatch.setattr(isolate_process.Process, "_stop", stop_and_look)

    def hook(step, completed, total):
        if step == "face" and completed == 2:
            cancel.set()

    with pytest.raises(CancelledError):
        extract(film, None, hook, cancel=cancel)
    assert written == [], "the clip was extracted to its end"
    assert len(pids) == 1 and pids[0] in client.processes()


def test_a_hung_clip_can_be_cancelled(film):
    stop, cancel = harm(signal.SIGSTOP), threading.Event()

    def hook(step, completed, total):
        stop(step, completed, total)
        if step == "face":
            cancel.set()

    with pytest.raises(CancelledError):
        extract(film, None, hook, cancel=cancel)


def test_who_waits_for_a_process_can_be_cancelled(film):
    taken = [client._pool.take(threading.Event()) for _ in range(client.PROCESSES)]
    try:
        cancel = threading.Event()
        threading.Timer(0.2, cancel.set).start()
        with pytest.raises(CancelledError):
            extract(film, cancel=cancel)
    finally:
        for worker in taken:
            client._pool.give_back(worker)


def test_side_by_side_clips_are_processes_apart(portrait):
    results = []
    threads = [threading.Thread(target=lambda: results.append(extract(portrait, SPOKEN))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.words for result in results] == [SPOKEN.words] * 3
    assert len(client.processes()) <= client.PROCESSES


def test_processes_end_with_the_parent(tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"not a video")
    program = f"""
import time
from extractors.workers import client
try:
    client.extract({str(tmp_path / "x.mp4")!r})
except client.MediaError:
    print(*client.processes(), flush=True)
time.sleep(600)
"""

    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        (pid,) = map(int, parent.stdout.readline().split())
        process = psutil.Process(pid)
        parent.kill()
    wait_until_gone([process])


def test_a_warm_process_is_replaced_by_one_that_warms_up(film, portrait):
    client.warm()
    with pytest.raises(MediaError, match="crash"):
        extract(film, None, harm(signal.SIGKILL))
    next_one = client._pool._idle[-1]
    assert next_one.warmed
    loaded = []

    def hook(step, completed, total):
        if not loaded:
            loaded.append("mediapipe" in Path(f"/proc/{next_one.pid}/maps").read_text())

    extract(portrait, SPOKEN, hook)
    assert loaded == [True]  # before the clip's first step
