from __future__ import annotations

import pytest

from extractors.__main__ import main
from tests.extractors.support.clips import every, face, make_clip, tone


@pytest.fixture(scope="module")
def portrait(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "portrait.webm"
    return make_clip(path, frames=every(1, face()), sound=tone(1, rate=48_000), rate=48_000)


def test_the_command_prints_a_summary(portrait, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["clip", str(portrait), "--transcript", "a lovely day"])
    assert main() == 0
    printed = capsys.readouterr().out
    for expected in ("10 steps x 50", "100% valid", "lovely", "transcript  given", "face "):
        assert expected in printed


def test_the_command_ends_in_a_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / "x.mp4").write_text("not a video")
    monkeypatch.setattr("sys.argv", ["clip", str(tmp_path / "x.mp4")])
    assert main() == 1
    assert capsys.readouterr().err.startswith("This file is not a video")
