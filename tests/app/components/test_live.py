"""What a live view keeps of the recordings that it gets; `tests/app/test_browser.py` has it in a real browser."""

from __future__ import annotations

import base64
from concurrent.futures import wait

import pytest

from app.components.live import LiveState
from benchmarks.screen import SAMPLE

PATIENCE_SECONDS = 120  # loads every model, on whatever else the machine is doing


@pytest.mark.parametrize(
    "sent", [7, {"number": 1}, {"number": 1, "mime": "text/html", "base64": ""}, {"number": "1", "base64": "AAAA"}]
)
def test_what_no_camera_sends_is_a_sentence_and_no_score(sent):
    state = LiveState()
    state.ask(sent)
    assert "is not a recording" in state.problem
    assert state.job is None and state.latest is None and not state.scores
    assert state.answered == (1 if isinstance(sent, dict) and sent["number"] == 1 else 0)


def collect(state: LiveState) -> None:
    """Wait for the analysis that was begun."""
    wait([state.job.future], timeout=PATIENCE_SECONDS)
    state.collect()
    assert state.job is None


def test_a_recording_without_end_gives_its_score_and_one_that_fails_leaves_it():
    state, content = LiveState(), base64.b64encode(SAMPLE.read_bytes()).decode()
    state.ask({"number": 3, "mime": "video/webm", "base64": content[: len(content) * 3 // 16 * 4]})
    collect(state)
    assert state.problem is None and state.answered == 3
    (found,) = state.scores
    assert found.low < found.score < found.high
    state.ask({"number": 4, "mime": "video/webm", "base64": "AAAA"})
    collect(state)
    assert state.answered == 4 and state.problem
    assert state.scores == [found] and state.latest.predictions[state.latest.available].score == found.score
