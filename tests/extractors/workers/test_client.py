from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from extractors import pipeline
from extractors.language.text_encoder import ENCODER
from extractors.media.probe import Limits
from extractors.storage import feature_files
from extractors.vision.overlay.plan import Caption
from extractors.workers import client
from extractors.workers import process as worker_process
from extractors.workers.client import (
    SHARED,
    AbortedError,
    AssetError,
    Budget,
    CancelledError,
    MediaError,
    TranscriptError,
    UnforeseenError,
    WorkerError,
    extract,
    noisy_voices,
    overlaid,
)
from extractors.workers.errors import from_packet, to_packet
from extractors.workers.pool import START_ATTEMPTS, Pool
from tests.extractors.support.clips import every, face, grey, make_clip, tone
from tests.extractors.support.features import SPOKEN
from tests.extractors.support.processes import PATIENCE, wait_until_gone
from tests.extractors.vision.test_overlay import overlay
from tests.paths import ROOT


@pytest.fixture(scope="module")
def portrait(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "portrait.webm"
    return make_clip(path, frames=every(1, face()), sound=tone(1, rate=48_000), rate=48_000)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A minute of grey frames, cheap but for its length."""
    frames = [(index / 10, grey(index % 100)) for index in range(600)]
    return make_clip(tmp_path_factory.mktemp("clips") / "film.mp4", frames=frames, fps=10)


@pytest.fixture
def pool():
    """A pool of one process, of the test's own."""
    made = Pool(1, threads=1)
    yield made
    made.close()


def busy(pool=SHARED):
    """Ids of the processes at work."""
    idle = {worker.pid for worker in pool._idle}
    return [pid for pid in pool.processes() if pid not in idle]


def harm(how, pool=SHARED):
    """A hook that sends a signal to the process at work as soon as it works on the video, once."""
    harmed = []

    def hook(step, completed, total):
        if step == "face" and not harmed:
            harmed.extend(busy(pool))
            for pid in harmed:
                os.kill(pid, how)

    return hook


def test_the_successor_of_a_process_that_was_never_warmed_is_warm(pool):
    pool.keep_warm(ENCODER)
    worker = pool.take(threading.Event())
    worker.kill()
    pool.give_back(worker)
    (successor,) = pool._idle
    assert successor.pid != worker.pid
    assert successor.warmed == ENCODER


def test_a_folder_that_cannot_be_made_is_one_kind_of_error(monkeypatch, tmp_path, portrait):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(client.StorageError):
        extract(portrait, SPOKEN)


def test_the_features_are_the_same_to_the_last_bit(portrait):
    reports = []
    features = extract(portrait, SPOKEN, lambda *event: reports.append((threading.get_ident(), event)))
    expected = pipeline.extract(portrait, SPOKEN)
    for name in ("audio", "video", "language"):
        ours, theirs = features.modality(name), expected.modality(name)
        for array in ("values", "start", "end", "valid"):
            assert np.array_equal(getattr(ours, array), getattr(theirs, array))
    assert features.outlines.any() and np.array_equal(features.outlines, expected.outlines)
    assert features.words == expected.words == SPOKEN.words
    assert (features.schema, features.duration, features.notes) == (pipeline.SCHEMA, expected.duration, expected.notes)
    assert {thread for thread, _ in reports} == {threading.get_ident()}
    assert {step for _, (step, _, _) in reports} == set(pipeline.STEPS)


def test_a_process_serves_many_clips(portrait):
    extract(portrait, SPOKEN)
    before = client.processes()
    extract(portrait, SPOKEN)
    assert client.processes() == before


def test_threads_of_a_process_share_one_heap(pool):
    """Else glibc gives each thread of each clip one of its own, and the process grows with every clip."""
    worker = pool.take(threading.Event())
    assert psutil.Process(worker.pid).environ()["MALLOC_ARENA_MAX"] == "1"
    pool.give_back(worker)


@pytest.mark.slow
def test_a_process_does_not_grow_with_every_clip(portrait, pool):
    sizes = []
    for _ in range(90):
        extract(portrait, SPOKEN, pool=pool)
        sizes.append(psutil.Process(*pool.processes()).memory_info().rss)
    assert max(sizes[-10:]) - max(sizes[30:40]) < 10e6, "several times less than with a heap for each thread"


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


def test_an_unforeseen_error_has_its_traceback(portrait):
    with pytest.raises(UnforeseenError, match=r"(?s)Traceback.*ValueError: snr_db") as caught:
        noisy_voices(portrait, snr_db=float("inf"), seeds=[1])
    assert caught.value.sentence.startswith("ValueError: snr_db: inf, expected")


def test_results_that_cannot_be_written_are_not_the_clips_fault(portrait, monkeypatch, tmp_path):
    gone = tmp_path / "gone"  # where the process shall write
    monkeypatch.setattr(client, "private_folder", lambda **_: contextlib.nullcontext(gone))
    with pytest.raises(WorkerError, match=r"^Features cannot be written: .*gone") as caught:
        extract(portrait, SPOKEN)
    assert not isinstance(caught.value, UnforeseenError)


@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_crash_ends_its_clip_and_nothing_else(film, portrait, how, monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(AbortedError, match="made the extraction crash") as caught:
        extract(film, None, harm(how))
    assert caught.value.kind == "crash"
    assert caught.value.detail.startswith(how.name) and "face" in caught.value.detail
    assert ("Fatal Python error" in capfd.readouterr().err) == (how is not signal.SIGKILL)  # its stack trace
    assert list(tmp_path.iterdir()) == []
    if how is signal.SIGSEGV:
        assert extract(portrait, SPOKEN).words == SPOKEN.words


@pytest.mark.slow
def test_a_process_killed_between_two_tasks_costs_none(portrait, pool):
    extract(portrait, SPOKEN, pool=pool)
    (pid,) = pool.processes()
    process = psutil.Process(pid)
    process.kill()
    wait_until_gone([process])
    assert extract(portrait, SPOKEN, pool=pool).words == SPOKEN.words


def test_a_task_of_a_process_that_ends_before_it_begins_goes_to_another(portrait, pool, monkeypatch):
    """As when a process is killed just as it is given the task."""
    take, taken = pool.take, []

    def take_a_dead_one(cancel):
        worker = take(cancel)
        taken.append(worker.pid)
        if len(taken) < START_ATTEMPTS:
            worker.kill()
        return worker

    monkeypatch.setattr(pool, "take", take_a_dead_one)
    assert extract(portrait, SPOKEN, pool=pool).words == SPOKEN.words
    assert len(set(taken)) == START_ATTEMPTS


def test_a_process_that_cannot_start_is_not_the_clips_fault(film, pool, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(WorkerError, match="ended before it began: exit code 1"):
        extract(film, pool=pool)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(WorkerError, match="No process can be started"):
        extract(film, pool=Pool(1))


def test_a_process_that_never_begins_is_not_the_clips_fault(film, pool, monkeypatch):
    monkeypatch.setattr(worker_process, "READY_SECONDS", 0.1)
    with pytest.raises(WorkerError, match=r"did not begin its task within 0\.1 s"):
        extract(film, pool=pool)


def test_a_closed_pool_does_no_more(film, portrait, pool):
    """Closed in the middle of a clip, by another thread."""
    extract(portrait, SPOKEN, pool=pool)
    family = [psutil.Process(pid) for pid in pool.processes()]

    def hook(step, completed, total):
        if step == "face" and busy(pool):
            threading.Thread(target=pool.close).start()

    with pytest.raises(AbortedError, match="crash"):
        extract(film, None, hook, pool=pool)
    wait_until_gone(family)
    assert pool.processes() == []
    with pytest.raises(WorkerError, match="closed"):
        extract(film, pool=pool)
    with pytest.raises(ValueError, match="size: 0, expected at least 1"):
        Pool(0)


@pytest.mark.slow
def test_threads_are_limited_only_where_asked(portrait, pool):
    def last_argument(pool):
        seen = []
        extract(portrait, SPOKEN, lambda *_: seen.append(psutil.Process(*busy(pool)).cmdline()[-1]), pool=pool)
        return seen[-1]

    assert last_argument(pool) == "1"
    assert last_argument(SHARED) == "extractors.workers"


def test_a_hang_is_ended_by_the_clock(film, portrait):
    stop, stopped = harm(signal.SIGSTOP), []

    def hook(step, completed, total):
        stopped.extend(busy())
        stop(step, completed, total)

    with pytest.raises(AbortedError, match="took longer than 1 s") as caught:
        extract(film, None, hook, budget=Budget(seconds=1.0))
    assert caught.value.kind == "timeout"
    assert not set(stopped) & set(client.processes())
    assert extract(portrait, SPOKEN).words == SPOKEN.words


def test_memory_is_limited(film):
    with pytest.raises(AbortedError, match="more memory") as caught:
        extract(film, budget=Budget(memory_bytes=50_000_000))
    assert caught.value.kind == "memory"


def test_computing_time_is_limited(tmp_path):
    # The kernel counts whole seconds: a clip of several.
    path = make_clip(tmp_path / "film.mp4", frames=every(40, face(), fps=10), fps=10)
    with pytest.raises(AbortedError, match="more computing time") as caught:
        extract(path, budget=Budget(cpu_seconds=0.0))
    assert caught.value.kind == "cpu"


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
    monkeypatch.setattr(worker_process, "STOP_SECONDS", PATIENCE)  # it must stop by itself
    pids, written, cancel = [], [], threading.Event()
    stop = worker_process.Process._stop

    def stop_and_look(process):
        pids.append(process.pid)
        stop(process)
        written.extend(tmp_path.rglob(f"*{feature_files.SUFFIX}"))

    monkeypatch.setattr(worker_process.Process, "_stop", stop_and_look)

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
    taken = [SHARED.take(threading.Event()) for _ in range(SHARED.size)]
    try:
        cancel = threading.Event()
        threading.Timer(0.2, cancel.set).start()
        with pytest.raises(CancelledError):
            extract(film, cancel=cancel)
    finally:
        for worker in taken:
            SHARED.give_back(worker)


@pytest.mark.slow
def test_side_by_side_clips_are_processes_apart(portrait):
    results = []
    threads = [threading.Thread(target=lambda: results.append(extract(portrait, SPOKEN))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.words for result in results] == [SPOKEN.words] * 3
    assert len(client.processes()) <= SHARED.size


def test_processes_end_with_the_parent_and_leave_nothing(film, tmp_path):
    """The parent is killed while a process works on a clip; no one else can remove the files of that."""
    program = f"""
from extractors.workers import client
client.extract({str(film)!r}, None, lambda step, *_: step == "face" and print(*client.processes(), flush=True))
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        (pid,) = map(int, parent.stdout.readline().split())
        process = psutil.Process(pid)
        assert len(list(tmp_path.glob("alignmamba-*"))) == 1
        parent.kill()
    wait_until_gone([process])
    assert not list(tmp_path.glob("alignmamba-*"))


def test_a_warm_process_is_replaced_by_one_that_warms_up(film, portrait):
    client.warm()
    with pytest.raises(MediaError, match="crash"):
        extract(film, None, harm(signal.SIGKILL))
    next_one = SHARED._idle[-1]
    assert next_one.warmed
    loaded = []

    def hook(step, completed, total):
        if not loaded:
            loaded.append("mediapipe" in Path(f"/proc/{next_one.pid}/maps").read_text())

    extract(portrait, SPOKEN, hook)
    assert loaded == [True]  # before the clip's first step


def test_a_clip_is_written_again_with_its_overlay(portrait, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    steps = []
    made = overlaid(portrait, overlay(duration=1.0), hook=lambda *event: steps.append(event))
    assert made.left_out == 0
    with av.open(io.BytesIO(made.data)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        assert container.metadata["comment"] == "all"
    assert steps[-1] == ("overlay", 1000, 1000)
    hebrew = overlay(duration=1.0, captions=(Caption(text="שלום", start=0.0, end=1.0),))
    made = overlaid(portrait, hebrew)
    assert made.left_out == 1
    with av.open(io.BytesIO(made.data)) as container:
        assert container.metadata["comment"] == "1 left out"
    assert list(tmp_path.iterdir()) == []


def test_an_overlay_that_fails_or_is_cancelled_leaves_nothing(film, monkeypatch, tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"not a video")
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(private))
    with pytest.raises(MediaError, match="not a video"):
        overlaid(tmp_path / "x.mp4", overlay())
    with pytest.raises(MediaError, match="longer than"):
        overlaid(film, overlay(duration=60.0), limits=Limits(seconds=1.0))
    cancel, seen = threading.Event(), []

    def hook(step, completed, total):
        seen.extend(private.rglob("*.mp4"))  # it is there once the encoder gives its first packet
        if seen:
            cancel.set()

    with pytest.raises(CancelledError):
        overlaid(film, overlay(duration=60.0), hook=hook, cancel=cancel)
    assert seen, "the test would not have seen it"
    with pytest.raises(AbortedError) as caught:
        overlaid(film, overlay(duration=60.0), budget=Budget(seconds=0.0))
    assert caught.value.kind == "timeout"
    assert list(private.iterdir()) == []


def test_memory_that_a_clip_asks_for_in_vain_is_its_own_fault():
    found = from_packet(to_packet(MemoryError("9 TB")))
    assert isinstance(found, MediaError) and found.message.code == "clip_needs_memory"


def test_a_check_refuses_what_an_extraction_refuses(film, tmp_path):
    steps = []
    client.check(film, hook=lambda step, completed, total: steps.append((step, completed, total)))
    assert steps and {step for step, _, _ in steps} == {"check"}
    assert all(completed <= total for _, completed, total in steps)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(film.read_bytes()[:300])
    with pytest.raises(MediaError) as checked:
        client.check(broken)
    with pytest.raises(MediaError) as extracted:
        extract(broken)
    assert checked.value.message == extracted.value.message
