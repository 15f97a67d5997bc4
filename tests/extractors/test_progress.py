from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
import threading

from extractors.progress import ProgressHook
from tests.extractors.support.clips import every, grey, make_clip
from tests.paths import ROOT


def on_terminal(work):
    """What a piece of work writes to a terminal."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    written = []

    def read():
        try:
            while part := os.read(master, 4096):
                written.append(part)
        except OSError:  # Linux's end of a terminal that all have closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(slave, "w") as stream:
        work(stream)
    reader.join()
    os.close(master)
    return b"".join(written).decode()


def lines_of(text):
    """The rows of a terminal after text was written to it: returns, line feeds and cursor movements up are done."""
    rows, row, column = [""], 0, 0
    text = text.replace("\r\n", "\n\r")
    while text:
        if text.startswith("\x1b[A"):
            row, text = row - 1, text[3:]
            continue
        character, text = text[0], text[1:]
        if character == "\r":
            column = 0
        elif character == "\n":
            row, column = row + 1, 0
            rows += [""] * (row + 1 - len(rows))
        else:
            rows[row] = rows[row][:column].ljust(column) + character + rows[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in rows if line.strip()]


def run_steps(hook):
    hook("sound", 0, 1)
    hook("video", 0, 1)
    hook("video", 25, 100)
    hook("sound", 1, 1)
    hook("video", 50, 100)
    hook("text", 0, 1)
    hook("video", 1, 1)


def test_a_bar_per_step_stays_in_order():
    def work(stream):
        with ProgressHook(file=stream) as hook:
            run_steps(hook)

    sound, video, text = lines_of(on_terminal(work))
    assert sound.startswith("sound      100 %|") and video.startswith("video      100 %|")
    assert text.startswith("text         0 %|")


def test_transient_bars_vanish():
    def work(stream):
        with ProgressHook(file=stream, transient=True) as hook:
            run_steps(hook)

    written = on_terminal(work)
    assert "100 %" in written and lines_of(written) == []


def test_bars_close_on_an_error():
    def work(stream):
        try:
            with ProgressHook(file=stream, transient=True) as hook:
                run_steps(hook)
                raise KeyError
        except KeyError:
            print("after", file=stream)

    assert lines_of(on_terminal(work)) == ["after"]


def test_nothing_is_shown_where_there_is_no_terminal(capfd):
    with ProgressHook() as hook:
        run_steps(hook)
    assert capfd.readouterr() == ("", "")


def test_the_command_shows_bars_on_standard_error_of_a_terminal_only(tmp_path):
    clip = make_clip(tmp_path / "film.mp4", frames=every(0.5, grey(60)))
    command = [sys.executable, "-m", "extractors", str(clip), "--transcript", "good"]
    done = {}

    def work(stream):
        done["terminal"] = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stream, text=True)

    written = on_terminal(work)
    assert "sound " in written and "100 %" in written
    plain = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "%|" not in plain.stderr + plain.stdout
    for process in (done["terminal"], plain):
        assert process.returncode == 0 and process.stdout.startswith("duration ")
