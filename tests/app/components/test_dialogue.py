"""Two people in one clip, marked and compared in a real browser: speakers, spans, series and annotation files."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pympi
import pytest
from playwright.sync_api import Page, expect

from app.i18n.translate import LANGUAGES, _, spoken_in
from benchmarks.server import ROOT, running
from extractors.storage.annotations.textgrid import to_textgrid
from extractors.storage.annotations.tiers import Interval, Tier
from tests.app.test_browser import screenshot, settle, upload, visit

pytestmark = pytest.mark.slow
SAMPLES = ROOT / "app" / "samples"
SIDE, FRAME_RATE, SAMPLE_RATE = 320, 25, 48_000  # pixels, frames per second, Hz


def two_people(path: Path) -> None:
    """Write two samples one after the other into a WebM file, the second with a deeper voice: both have one speaker."""
    with av.open(str(path), "w") as written:
        video = written.add_stream("libvpx", rate=FRAME_RATE, options={"deadline": "realtime", "cpu-used": "8"})
        video.width, video.height, video.pix_fmt = SIDE, SIDE, "yuv420p"
        audio = written.add_stream("libopus", rate=SAMPLE_RATE, layout="mono")
        frames, sound = 0, []
        for name, pitch in (("positive", 1.0), ("negative", 0.75)):
            with av.open(str(SAMPLES / f"{name}.webm")) as clip:
                for frame in clip.decode(video=0):
                    small = frame.reformat(SIDE, SIDE, "yuv420p")
                    small.pts, small.time_base = frames, Fraction(1, FRAME_RATE)
                    frames += 1
                    written.mux(video.encode(small))
            mono = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
            with av.open(str(SAMPLES / f"{name}.webm")) as clip:
                parts = [part.to_ndarray()[0] for each in clip.decode(audio=0) for part in mono.resample(each)]
            voice = np.concatenate(parts)
            places = np.arange(len(voice)) * pitch
            sound.append(np.interp(places, np.arange(len(voice)), voice).astype(np.float32))
        written.mux(video.encode(None))
        heard = av.AudioFrame.from_ndarray(np.concatenate(sound)[None], format="flt", layout="mono")
        heard.sample_rate = SAMPLE_RATE
        written.mux(audio.encode(heard))
        written.mux(audio.encode(None))


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Address of a running server."""
    with running(tmp_path_factory.mktemp("server") / "server.log") as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("code", LANGUAGES)
def test_two_speakers_are_named_marked_and_exported(address, browser, code, tmp_path):
    two_people(tmp_path / "two.webm")
    with spoken_in(code):
        page = visit(browser, f"{address}/?lang={code}")
        upload(page, name="two.webm", content=(tmp_path / "two.webm").read_bytes(), mime="video/webm")
        name_a_speaker(page, code)
        mark_a_part(page, code)
        compare_with_annotations(page, code)
        open_the_exports(page, tmp_path)


def open_tab(page: Page, label: str) -> None:
    """Open a tab of the result by keyboard."""
    tab = page.get_by_role("tab", name=label, exact=True)
    tab.focus()
    page.keyboard.press("Enter")
    settle(page)


def name_a_speaker(page: Page, code: str) -> None:
    """Each speaker has a row with a score; a new name stays."""
    open_tab(page, _("Speakers"))
    names = page.get_by_label(_("Name of the speaker"))
    expect(names).to_have_count(2)
    names.first.fill("Ann Lee")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name=re.compile("Ann Lee")).first).to_be_visible()
    settle(page)
    expect(names).to_have_count(2)
    screenshot(page, f"speakers-{code}")


def mark_a_part(page: Page, code: str) -> None:
    """Choose a part by keyboard and predict without it; put another series on the timeline."""
    open_tab(page, _("Over time"))
    for _step in range(4):
        page.get_by_role("slider").last.press("PageDown")
    without = page.get_by_role("button", name=_("Predict without it"))
    expect(without).to_be_enabled()
    without.focus()
    page.keyboard.press("Enter")
    page.get_by_text(_("Excluded; press one to use it again:")).wait_for()
    settle(page)
    page.get_by_role("combobox").last.click()
    page.keyboard.type("jawOpen")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    settle(page)
    screenshot(page, f"over-time-{code}")
    page.get_by_text(_("Excluded; press one to use it again:")).locator("xpath=following::button").first.click()
    settle(page)


def compare_with_annotations(page: Page, code: str) -> None:
    """Scores of an own TextGrid are compared with the predicted ones."""
    open_tab(page, _("Words and annotations"))
    scores = {(0.5, 2.0): "2", (2.5, 7.0): "3", (8.5, 11.0): "-1", (11.5, 15.0): "-2"}
    spans = tuple(Interval(start=start, end=end, text=score) for (start, end), score in scores.items())
    page.get_by_text(_("Annotations from ELAN or Praat: compare with your own scores, or use your own words")).click()
    data = to_textgrid([Tier(name="mine", intervals=spans)], duration=15.9)
    page.locator('[data-testid="stFileUploaderDropzoneInput"]').last.set_input_files(
        {"name": "mine.TextGrid", "mimeType": "text/plain", "buffer": data}
    )
    page.get_by_role("button", name=_("Compare its scores")).click()
    page.get_by_text(re.compile("Krippendorff α|Krippendorff.s alpha \\(")).wait_for()
    settle(page)
    screenshot(page, f"annotations-{code}")


def open_the_exports(page: Page, folder: Path) -> None:
    """The annotation files name the speaker, for the libraries that read them."""
    page.get_by_role("button", name=_("Export")).click()
    for name, label in (("tiers.eaf", _("Tiers (ELAN)")), ("speakers.rttm", _("Speakers (RTTM)"))):
        with page.expect_download() as download:
            page.get_by_role("button", name=label).click()
        download.value.save_as(folder / name)
    assert "Ann_Lee" in (folder / "speakers.rttm").read_text(encoding="utf-8")
    tiers = pympi.Elan.Eaf(str(folder / "tiers.eaf"))
    said = [value for name in tiers.get_tier_names() for _, _, value, *_ in tiers.get_annotation_data_for_tier(name)]
    assert any("Ann Lee" in text for text in [*said, *tiers.get_tier_names()])
