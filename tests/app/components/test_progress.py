"""How long a step still takes is told once that can be known; uploads have the limits of their place."""

from __future__ import annotations

import numpy as np
import pytest

from app.charts import timeline_table
from app.components.progress import seconds_left
from app.services import upload
from extractors.media.container import LIMITS, LONG_LIMITS
from tests.paths import APP

WAVE = b"RIFF\x24\x00\x00\x00WAVEfmt " + b"\x00" * 64


def test_the_time_left_follows_the_pace_so_far():
    assert seconds_left(0.25, 10.0) == 30.0
    assert seconds_left(0.5, 100.0) == 100.0


@pytest.mark.parametrize(("share", "elapsed"), [(0.0, 60.0), (1.0, 60.0), (0.5, 1.0), (0.99, 60.0)])
def test_nothing_is_told_too_early_nor_at_the_end(share, elapsed):
    assert seconds_left(share, elapsed) is None


def test_a_large_clip_is_taken_on_screen_and_refused_where_many_come_at_once():
    upload.check_size(LIMITS.file_bytes + 1, LONG_LIMITS)
    with pytest.raises(upload.SizeError, match="the limit is 50 MB"):
        upload.check_size(LIMITS.file_bytes + 1)
    with pytest.raises(upload.SizeError, match="the limit is 500 MB"):
        upload.check_size(LONG_LIMITS.file_bytes + 1, LONG_LIMITS)


def test_a_recording_under_a_wrong_name_keeps_the_limits_it_was_sent_with():
    clip = upload.clip("talk.mp4", WAVE, limits=LONG_LIMITS)
    assert clip.mime.startswith("audio/") and clip.limits == LONG_LIMITS
    assert upload.clip("talk.mp4", WAVE).limits == LIMITS


def test_curves_of_a_long_clip_thin_themselves_out():
    """Fifteen minutes of loudness, a hundred values a second."""
    seconds = np.arange(90_000) / 100
    row = timeline_table.TimelineRow(
        name="Loudness", unit="", seconds=seconds, values=np.sin(seconds), low=-1.0, high=1.0
    )
    table = timeline_table.tabulate([row])
    assert len(table) <= timeline_table.MAX_POINTS
    assert table["end"].iloc[-1] == pytest.approx(900.0, abs=3.0)


def test_jobs_are_watched_by_pages_and_by_no_component():
    """Components are parts of fragments, where Cancel would come too late."""
    callers = {path.relative_to(APP) for path in APP.rglob("*.py") if "progress.watch(" in path.read_text("utf-8")}
    assert callers and {path.parts[0] for path in callers} == {"app_pages"}
