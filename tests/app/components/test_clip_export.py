"""The export of a clip with its overlay, as a user asks for it: made, offered, refused, stopped."""

from __future__ import annotations

import dataclasses
import gc
import io
import time
from concurrent.futures import CancelledError

import av
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.components.result import clip_export
from app.export import overlaid
from app.services import samples
from app.services.errors import AbandonedError, PlainError
from app.services.jobs import Overlaying
from extractors.workers.client import Overlaid
from tests.app.app_pages.test_analyse import TIMEOUT_SECONDS, analyse_sample, opened, sentences

MAKE = "Make the clip with its overlay (MP4)"


def make_button(page):
    return next((button for button in page.button if button.label == MAKE), None)


def until_made(page):
    """Run the page again, as it does by itself in a browser, until nothing is being made."""
    end = time.monotonic() + TIMEOUT_SECONDS
    while clip_export.MAKING in page.session_state:
        assert time.monotonic() < end
        time.sleep(0.2)
        page.run()
    return page


@pytest.fixture(scope="module")
def result():
    return samples.analysed(samples.listed()[0])


def overlaying(result, clip) -> Overlaying:
    plan = overlaid.plan(result, result.predictions[result.available])
    return Overlaying(clip, plan, audio_track=overlaid.sound_track(result), owner="test")


def test_a_click_makes_the_clip_and_offers_it():
    page = analyse_sample(opened(), "positive.webm")
    done = until_made(make_button(page).click().run())
    assert not done.exception and not done.error
    made = done.session_state[clip_export.KEPT].made
    assert make_button(done) is None, "the download takes its place"
    with av.open(io.BytesIO(made.data)) as container:
        assert [stream.codec_context.name for stream in container.streams] == ["h264", "aac"]
        assert "added by AlignMamba" in container.metadata["comment"]
        image = list(container.decode(video=0))[30].to_ndarray(format="rgb24")  # at 1.2 s
    x, y, _width, height = overlaid.face(done.session_state["session"].analysis.features)["boxes"][12]
    row, column = round((y + height / 2) * image.shape[0]), round(x * image.shape[1])
    edge = image[row - 20 : row + 20, column - 2 : column + 3].astype(int)
    assert (np.abs(edge - (155, 93, 229)).sum(axis=2) < 60).any(), "the box"
    pills = done.get("pills")[0]
    fewer = pills.set_value([value for value in pills.value if value != "audio"]).run()
    assert make_button(fewer) is not None, "another prediction is another clip"


def test_a_clip_that_is_being_made_can_be_cancelled_and_a_failure_is_a_sentence():
    page = analyse_sample(opened(), "negative.webm")
    page = make_button(page).click().run()
    work = page.session_state[clip_export.MAKING].work
    cancel = page.button(key="cancel-overlaid")
    assert cancel.label == "Cancel"
    page = cancel.click().run()
    assert not page.exception and clip_export.MAKING not in page.session_state
    with pytest.raises((AbandonedError, CancelledError)):
        work.future.result()
    assert make_button(page) is not None
    state = page.session_state["session"]
    state.analysis = dataclasses.replace(state.analysis, clip=dataclasses.replace(state.analysis.clip, data=b"nothing"))
    page = until_made(make_button(page.run()).click().run())
    assert "not a video" in sentences(page.error)
    assert make_button(page) is not None


def test_the_work_stops_where_its_session_ends(result):
    work = overlaying(result, result.clip)
    making = clip_export.Making("of", work)
    del making
    gc.collect()
    with pytest.raises((AbandonedError, CancelledError)):
        work.future.result()


def test_captions_that_no_font_can_show_are_said_to_be_missing():
    page = analyse_sample(opened(), "neutral.webm")
    analysis = page.session_state["session"].analysis
    of = (analysis.number, frozenset(analysis.available), "en")
    page.session_state[clip_export.KEPT] = clip_export.Kept(of, Overlaid(data=b"made", left_out=2))
    assert "2 caption(s) are left out" in sentences(page.run().caption)


def test_old_clips_make_room_for_new_ones(monkeypatch):
    monkeypatch.setattr(clip_export, "HELD_BYTES", 250)
    first, second, third = (clip_export.Kept(number, Overlaid(data=bytes(100), left_out=0)) for number in range(3))
    assert first.made is None and len(second.content()) == len(third.content()) == 100
    with pytest.raises(PlainError, match="make it again"):
        first.content()
    del second
    fourth = clip_export.Kept(4, Overlaid(data=bytes(150), left_out=0))
    assert third.made is not None and fourth.made is not None, "what no session holds takes no room"


def offered():
    """A page that offers the export of a clip without video."""
    import dataclasses

    from app.components.result import clip_export
    from app.services import samples
    from extractors.messages import Message
    from extractors.schema import ModalityFeatures

    whole = samples.analysed(samples.listed()[0])
    none = ModalityFeatures.missing(Message("no_video_stream"), whole.features.video.values.shape[1])
    features = dataclasses.replace(whole.features, video=none, tracks=(), outlines=None)
    clip_export.offer(dataclasses.replace(whole, features=features), whole.predictions[whole.available])


def test_a_clip_without_video_has_no_button():
    page = AppTest.from_function(offered, default_timeout=TIMEOUT_SECONDS).run()
    assert not page.exception and not page.button


def test_a_damaged_clip_is_a_sentence_and_an_abandoned_one_stops(result):
    with pytest.raises(PlainError, match="not a video"):
        overlaying(result, dataclasses.replace(result.clip, data=b"nothing")).future.result()
    work = overlaying(result, result.clip)
    work.abandon()
    with pytest.raises((AbandonedError, CancelledError)):
        work.future.result()
