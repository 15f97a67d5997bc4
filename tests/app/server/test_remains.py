"""Nothing of a clip stays on the disk, however its analysis or the server ends."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from contextlib import contextmanager

import psutil
import pytest

from app.i18n.translate import SOURCE, spoken_in
from benchmarks import server
from extractors.assets.files import cache_folder
from extractors.storage.scratch import PREFIX
from tests.app.api.test_endpoints import CLIP, ask, form, head
from tests.app.app_pages.test_analyse import movie
from tests.app.test_browser import submit, visit
from tests.paths import SAMPLES

SAMPLE = SAMPLES / "positive.webm"
LONG = movie(seconds=110, rate=25)
WAIT_SECONDS = 120.0
ROOM_BYTES = 15_000_000  # that a server without memory has left, for its threads' small needs
CLIP_BYTES = 49_000_000  # as large as a clip may be, nearly
ATTEMPTS = 5


@contextmanager
def serving(folder, *, environment=(), under=()):
    """A server whose temporary folder is the given one."""
    log = folder.with_suffix(".log")
    with log.open("wb") as stream:
        process, port = server.start(stream, environment={"TMPDIR": str(folder), **dict(environment)}, under=under)
        try:
            server.wait_until_healthy(process, port, log)
            yield process, port
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def temporary(tmp_path_factory):
    folder = tmp_path_factory.mktemp("temporary")
    folder.chmod(0o700)
    return folder


def clips(folder):
    return list(folder.glob(f"{PREFIX}*/clip.bin"))


def wait(condition):
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def send(port, body=None):
    """An analysis under way."""
    body = form(file=LONG) if body is None else body
    stream = socket.create_connection(("127.0.0.1", port), timeout=60)
    stream.sendall(head(f"content-length: {len(body)}") + body)
    return stream


def test_success_failure_and_clients_that_leave(temporary):
    with serving(temporary) as (process, port):
        assert ask(port, body=form(transcript="a fine day"))[0] == 200
        wait(lambda: not list(temporary.glob(f"*{PREFIX}*")))  # the models may still be loading, in such a folder
        kept = sorted(temporary.iterdir())  # of the libraries, whatever was analysed
        assert ask(port, body=form(transcript="another"))[0] == 200
        assert ask(port, body=form(file=b"nothing"))[0] == 422
        with socket.create_connection(("127.0.0.1", port), timeout=60) as half:
            half.sendall(head("content-length: 9000000") + form(file=LONG)[:-1000] + bytes(5_000_000))
        gone = send(port)
        wait(lambda: clips(temporary))
        gone.close()
        wait(lambda: sorted(temporary.iterdir()) == kept)
        assert "Traceback" not in temporary.with_suffix(".log").read_text(), "nobody is to blame for a client that left"
        with send(port):
            wait(lambda: clips(temporary))
            process.send_signal(signal.SIGTERM)
            process.wait(WAIT_SECONDS)
        assert not list(temporary.glob(f"*{PREFIX}*"))


def test_a_disk_that_cannot_be_written_is_a_sentence(temporary, tmp_path):
    """The temporary folder goes away, as a full disk does it to new files; the server goes on once it is back."""
    away = tmp_path / "away"
    with serving(temporary) as (_process, port):
        assert ask(port, body=form(transcript="a fine day"))[0] == 200
        wait(lambda: not list(temporary.glob(f"*{PREFIX}*")))
        temporary.rename(away)
        status, _, plain = ask(port, body=form(transcript="a fine day"))
        assert (status, plain["error"]["code"]) == (507, "no_storage")
        away.rename(temporary)
        assert ask(port, body=form(transcript="a fine day"))[0] == 200


def test_a_killed_server_is_swept_up_after_by_the_next(temporary):
    with serving(temporary) as (process, port), send(port):
        wait(lambda: clips(temporary))
        process.kill()
        process.wait()
        assert clips(temporary), "the test would not have seen it"
    with serving(temporary):
        wait(lambda: not list(temporary.glob(f"*{PREFIX}*")))


@pytest.fixture
def unprivileged():
    """A program before the server that takes root's right to write where nobody may."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root writes everywhere, and there is no setpriv on this machine")
    return ["setpriv", "--bounding-set", "-dac_override", "--"]


def read_only(folder):
    folder.mkdir()
    folder.chmod(0o500)
    return folder


def test_home_and_cache_that_cannot_be_written_do_not_matter(temporary, tmp_path, unprivileged):
    """Where the models are there; no library may need a folder of its own in them."""
    home, cache = read_only(tmp_path / "home"), tmp_path / "cache"
    cache.mkdir()
    for entry in cache_folder().iterdir():
        (cache / entry.name).symlink_to(entry)
    cache.chmod(0o500)
    environment = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "ALIGNMAMBA_CACHE": str(cache)}
    with serving(temporary, environment=environment, under=unprivileged) as (_process, port):
        for transcript in ({"transcript": "a fine day"}, {}):
            status, _, plain = ask(port, body=form(file=SAMPLE.read_bytes(), name=SAMPLE.name, **transcript))
            assert (status, plain.get("error")) == (200, None)
        assert ask(port, "GET", "/")[0] == 200
    assert "Traceback" not in temporary.with_suffix(".log").read_text()
    assert not list(home.iterdir())


def test_models_that_cannot_be_kept_are_a_sentence(temporary, tmp_path, unprivileged):
    """An empty cache folder that cannot be written: each analysis says so, and the server goes on."""
    environment = {"ALIGNMAMBA_CACHE": str(read_only(tmp_path / "cache"))}
    with serving(temporary, environment=environment, under=unprivileged) as (_process, port):
        for _ in range(2):
            status, _, plain = ask(port, body=form(transcript="a fine day"))
            assert (status, plain["error"]["code"]) == (503, "not_ready")
            assert "could not be fetched" in plain["error"]["why"] and "Permission denied" in plain["error"]["why"]
        assert ask(port, "GET", "/")[0] == 200
    assert "Traceback" not in temporary.with_suffix(".log").read_text()


def settled_bytes(process):
    """Its address space, once that stays the same: a thread that ends gives back tens of megabytes at once."""
    before, now = None, process.memory_info().vms
    end = time.monotonic() + WAIT_SECONDS
    while now != before:
        assert time.monotonic() < end
        time.sleep(1)
        before, now = now, process.memory_info().vms
    return now


@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="limits of another process are Linux's")
def test_used_up_memory_is_a_sentence(temporary):
    """The kernel gives the server no more memory for a while; the clip that needs it is refused, then all is well."""
    with serving(temporary) as (process, port):
        assert ask(port, body=form(transcript="a fine day"))[0] == 200
        watched = psutil.Process(process.pid)
        before = watched.rlimit(psutil.RLIMIT_AS)
        for _ in range(ATTEMPTS):  # memory that a thread gives back meanwhile is enough for the clip
            watched.rlimit(psutil.RLIMIT_AS, (settled_bytes(watched) + ROOM_BYTES, before[1]))
            status, _, plain = ask(port, body=form(file=CLIP + bytes(CLIP_BYTES)))
            watched.rlimit(psutil.RLIMIT_AS, before)
            if status != 200:
                break
        assert (status, plain.get("error", {}).get("code")) == (503, "no_memory")
        assert ask(port, body=form(transcript="a fine day"))[0] == 200
    assert "Traceback" not in temporary.with_suffix(".log").read_text()


@pytest.mark.slow
def test_a_tab_that_is_closed_while_a_clip_is_exported_leaves_nothing(temporary, browser):
    with serving(temporary) as (_process, port), spoken_in(SOURCE):
        page = visit(browser, f"http://127.0.0.1:{port}/?lang=en")
        submit(page, name="long.mp4", content=LONG, mime="video/mp4", transcript="A grey day it was.")
        page.get_by_role("heading", name="long.mp4").wait_for()
        wait(lambda: not clips(temporary))
        page.get_by_role("button", name="Export").click()
        page.get_by_role("button", name="Make the clip with its overlay (MP4)").click()
        wait(lambda: list(temporary.glob(f"{PREFIX}*/overlaid.mp4")))
        page.context.close()
        wait(lambda: not list(temporary.glob(f"*{PREFIX}*")))
        assert ask(port, body=form(transcript="a fine day"))[0] == 200


@pytest.mark.slow
def test_a_tab_that_is_closed_leaves_nothing(temporary, browser):
    with serving(temporary) as (_process, port):
        page = visit(browser, f"http://127.0.0.1:{port}/?lang=en")
        with spoken_in(SOURCE):
            submit(page, name="long.mp4", content=LONG, mime="video/mp4")
        wait(lambda: clips(temporary))
        page.context.close()
        wait(lambda: not list(temporary.glob(f"*{PREFIX}*")))
        assert ask(port, body=form(transcript="a fine day"))[0] == 200
