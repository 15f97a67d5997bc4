"""The page Analyse, driven as a user would, with real extractors, the trained checkpoint and no mocks."""

from __future__ import annotations

import dataclasses
import io
import json
import tempfile
import time
from pathlib import Path

import av
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.components import notice
from app.components.result_view import TABS
from app.i18n.translate import spoken_in
from app.services import errors, session
from app.services.analysis import Clip
from app.services.errors import AbandonedError
from app.services.jobs import Job
from app.services.session import RecentFeatures
from extractors.storage.annotations.textgrid import to_textgrid
from extractors.storage.annotations.tiers import Interval, Tier
from tests.paths import APP

SAMPLES = json.loads((APP / "samples" / "samples.json").read_text(encoding="utf-8"))
CHOOSER = "chooser"  # as in app.app_pages.analyse, which is a script and cannot be imported
TIMEOUT_SECONDS = 300  # a cold start loads every model on whatever else the machine is doing


def opened(tab: str = "All combinations") -> AppTest:
    """The page with the choice of clips and one of the result's tabs open."""
    page = AppTest.from_file(str(APP / "main.py"), default_timeout=TIMEOUT_SECONDS)
    page.session_state[notice.KEY] = True
    page.session_state[CHOOSER] = True
    page.session_state[TABS] = tab
    return page.run()


def analyse_sample(page: AppTest, name: str) -> AppTest:
    return page.button(key=f"sample-{Path(name).stem}").click().run()


def open_tab(page: AppTest, tab: str) -> AppTest:
    page.session_state[TABS] = tab
    return page.run()


def upload(page: AppTest, name: str, content: bytes, transcript: str = "") -> AppTest:
    if not page.file_uploader:  # folded above a result
        page.session_state[CHOOSER] = True
        page.run()
    page.file_uploader(key="clip").clear()
    page.file_uploader(key="clip").upload(name, content)
    page.text_area(key="typed").set_value(transcript)
    return next(b for b in page.button if b.label == "Analyse my clip").click().run()


def score(page: AppTest) -> float:
    return float(page.metric[0].value)


def sentences(elements) -> str:
    return " ".join(element.value.replace("\\", "") for element in elements)


def movie(*, seconds: float, rate: int = 10) -> bytes:
    """A grey clip without sound."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for index in range(round(seconds * rate)):
            grey = np.full((64, 64, 3), 40 + index % 100, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return file.getvalue()


@pytest.fixture(scope="module")
def page() -> AppTest:
    """A page on which the first sample has been analysed."""
    return analyse_sample(opened(), SAMPLES[0]["file"])


def test_the_first_page_offers_every_sample_and_marks_it():
    page = opened()
    assert not page.exception
    assert not page.error
    assert {f"sample-{Path(sample['file']).stem}" for sample in SAMPLES} <= {button.key for button in page.button}
    marked = [badge for badge in page.markdown if "synthetic" in badge.value]
    assert len(marked) == sum(sample["synthetic"] for sample in SAMPLES) + 1, "the result shown first is marked, too"


def test_a_sample_ends_in_a_score_and_seven_rows(page):
    assert not page.exception
    assert not page.error
    assert -3 <= score(page) <= 3
    table = page.dataframe[0].value
    assert len(table) == 7
    assert table["score"].notna().all()
    assert table["difference"].iloc[0] == 0
    assert table["score"].nunique() > 1
    assert table["score"].iloc[0] == pytest.approx(score(page), abs=0.006)


def test_every_step_is_shown_to_its_end():
    page = upload(opened(), "clip.webm", (APP / "samples" / SAMPLES[3]["file"]).read_bytes())
    assert page.status[0].label.startswith("Analysed in ")
    assert page.status[0].state == "complete"
    assert len(page.progress) == 5
    assert {bar.value for bar in page.progress} == {100}


def test_a_toggle_answers_from_the_same_features(page):
    before = page.session_state["session"].analysis
    pills = page.get("pills")[0]
    full = score(page)
    chosen = pills.set_value([value for value in pills.value if value != "audio"]).run()
    assert not chosen.exception
    assert chosen.session_state["session"].analysis is before, "a toggle must not extract again"
    row = before.predictions[frozenset({"language", "video"})]
    assert score(chosen) == pytest.approx(row.score, abs=0.006)
    specs = [chart.proto.spec for chart in chosen.get("vega_lite_chart")]
    assert len(specs) == 3, "gauge, all combinations, classes"
    nothing = page.get("pills")[0].set_value([]).run()
    assert not nothing.exception
    assert "at least one" in sentences(nothing.info)
    charts = dict(before.charts)
    restored = page.get("pills")[0].set_value(["language", "audio", "video"]).run()
    assert score(restored) == full
    assert before.charts.keys() == charts.keys(), "a chart that was shown before is not built again"
    assert all(before.charts[key] is spec for key, spec in charts.items())
    assert [chart.proto.spec for chart in restored.get("vega_lite_chart")] != specs


def test_the_result_stands_alone_until_another_clip_is_chosen():
    page = AppTest.from_file(str(APP / "main.py"), default_timeout=TIMEOUT_SECONDS).run()
    assert not page.exception
    assert [expander.label for expander in page.expander][:1] == ["Choose a clip: samples, your own, camera"]
    assert not [button for button in page.button if (button.key or "").startswith("sample-")]
    assert len(page.metric) == 1
    page = analyse_sample(opened(), SAMPLES[1]["file"])
    assert not [button for button in page.button if (button.key or "").startswith("sample-")], "folded again"


def test_a_part_of_the_clip_is_scored_and_can_be_excluded_and_taken_back():
    page = opened("Over time")
    whole = page.session_state["session"].analysis
    part = page.slider(key=f"part-{whole.number}").set_value((0.0, 2.5)).run()
    assert not part.exception
    inside, without, clip = (float(metric.value) for metric in part.metric[1:4])
    assert clip == score(part)
    assert inside != without
    assert "What a wonderful evening" in sentences(part.markdown)
    zoomed = part.toggle(key=f"zoom-{whole.number}").set_value(True).run()
    specs = [json.loads(chart.proto.spec) for chart in zoomed.get("vega_lite_chart")]
    domains = [
        layer["encoding"]["x"]["scale"]["domain"]
        for spec in specs
        for layer in spec.get("layer", [spec])
        if layer.get("encoding", {}).get("x", {}).get("field") == "start"
    ]
    assert [0.0, 2.5] in domains
    cut = zoomed.button(key=f"exclude-{whole.number}").click().run()
    assert not cut.exception
    analysis = cut.session_state["session"].analysis
    assert analysis.excluded == ((0.0, 2.5),)
    assert analysis.features.language.valid[:4].tolist() == [False] * 4
    assert score(cut) == pytest.approx(without, abs=0.006)
    assert "2.5 s in all, are excluded" in sentences(cut.caption)
    back = cut.button(key=f"again-0-{analysis.number}").click().run()
    assert back.session_state["session"].analysis is whole
    assert score(back) == clip


def test_any_series_can_be_put_on_the_timeline():
    page = opened("Over time")
    choice = next(each for each in page.multiselect if each.label.startswith("Series"))
    groups = {name.split(":")[0] for name in choice.options if ":" in name}
    assert groups == {"Contribution", "Voice", "Head", "Face"}
    assert sum(name.startswith("Voice:") for name in choice.options) == 25
    assert sum(name.startswith("Face:") for name in choice.options) == 52
    assert sum(name.startswith("Head:") for name in choice.options) == 3
    shown = choice.set_value(["Voice: F0semitoneFrom27.5Hz", "Face: jawOpen", "Contribution: words"]).run()
    assert not shown.exception
    assert any("jawOpen" in chart.proto.spec or "jawOpen" in str(chart.proto) for chart in shown.get("vega_lite_chart"))


def test_own_annotations_are_compared_and_used_as_words():
    page = opened("Words and annotations")
    before = page.session_state["session"].analysis
    words = Tier(name="mine", intervals=(Interval(start=0.5, end=2.0, text="an awful day"),))
    truth = Tier(
        name="truth", intervals=(Interval(start=0.5, end=2.0, text="-2"), Interval(start=3.0, end=7.0, text="1"))
    )
    data = to_textgrid([words, truth], duration=8.0)
    page.file_uploader(key=f"annotation-{before.number}").upload("mine.TextGrid", data).run()
    assert not page.error
    page.selectbox(key=f"tier-{before.number}").set_value("truth").run()
    compared = next(button for button in page.button if button.label == "Compare its scores").click().run()
    assert "2 spans" in sentences(compared.markdown)
    assert list(compared.dataframe[0].value["truth"]) == [-2.0, 1.0]
    page.selectbox(key=f"tier-{before.number}").set_value("mine").run()
    told = next(button for button in page.button if button.label == "Predict with its words").click().run()
    assert not told.exception
    after = told.session_state["session"].analysis
    assert [word.text for word in after.features.words] == ["an", "awful", "day"]
    assert after.features.words[0].start == pytest.approx(0.5)
    assert after.features.audio is before.features.audio, "only the words were encoded"


def test_going_back_to_a_clip_answers_without_extracting_again(monkeypatch):
    clip = movie(seconds=2)
    page = upload(opened(), "clip.mp4", clip, "a fine day")
    first, full = page.session_state["session"].analysis, score(page)
    upload(page, "clip.mp4", clip, "a grey day")
    second = page.session_state["session"].analysis
    assert second.features is not first.features, "another transcript is another clip"

    def refuse(*_):
        raise AssertionError("extracted again")

    monkeypatch.setattr(Job, "__init__", refuse)
    upload(page, "other-name.mp4", clip, "a fine day")
    assert not page.exception
    assert not page.error
    again = page.session_state["session"].analysis
    assert again.features is first.features
    assert again.reused
    assert score(page) == full
    assert "earlier in this visit" in sentences(open_tab(page, "How long it took").caption)


def test_a_session_keeps_the_features_of_the_last_few_clips_only():
    kept = RecentFeatures()
    clips = [Clip(title="", data=bytes([number]), mime="video/mp4") for number in range(session.KEPT_CLIPS + 1)]
    for clip in clips[:-1]:
        kept.keep(clip, clip.data)
    assert kept.get(clips[0]) == clips[0].data, "asked for: now the newest"
    kept.keep(clips[-1], clips[-1].data)
    assert kept.get(clips[1]) is None
    assert all(kept.get(clip) == clip.data for clip in (clips[0], *clips[2:]))
    typed = dataclasses.replace(clips[0], transcript="words")
    assert kept.get(typed) is None
    assert opened().session_state["session"].kept is not opened().session_state["session"].kept


BAD_FILES = {
    "empty": ("clip.mp4", b"", "", "empty"),
    "text": ("clip.mp4", b"this is no video " * 50, "", "not a video"),
    "playlist": ("clip.mp4", b"ffconcat version 1.0\nfile other.mp4\n", "", "not a video"),
    "damaged": ("clip.mp4", movie(seconds=2)[:900], "", ""),
    "too long": ("clip.mp4", movie(seconds=130, rate=2), "", "120"),
    "too many words": ("clip.mp4", movie(seconds=2), "word " * 10_000, "transcript"),
    "too large": ("clip.mp4", bytes(50_000_001), "", "50 MB"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_input_shows_a_message_and_keeps_the_last_result(page, case, monkeypatch):
    monkeypatch.setenv("ALIGNMAMBA_MAX_SECONDS", "120")
    monkeypatch.setenv("ALIGNMAMBA_MAX_MEGABYTES", "50")
    name, content, transcript, expected = BAD_FILES[case]
    full = score(page)
    upload(page, name, content, transcript)
    assert not page.exception
    assert len(page.error) == 1
    assert expected in sentences(page.error)
    assert "Traceback" not in sentences(page.error)
    assert "went wrong" not in sentences(page.error), "a foreseen failure has its own message"
    assert score(page) == full
    assert len(page.dataframe[0].value) == 7


def test_no_file_shows_a_message():
    page = opened()
    next(b for b in page.button if b.label == "Analyse my clip").click().run()
    assert "Choose a video or sound file" in sentences(page.error)


def test_the_page_works_on_after_bad_input():
    page = upload(opened(), "clip.mp4", b"no video")
    assert page.error
    analyse_sample(page, SAMPLES[0]["file"])
    assert not page.error
    assert len(page.dataframe[0].value) == 7


@pytest.mark.parametrize(("sample", "absent", "reason"), [("no-sound", "Voice", "audio"), ("no-face", "Face", "face")])
def test_an_absent_modality_is_a_result_with_its_reason(sample, absent, reason):
    page = analyse_sample(opened(), sample)
    assert not page.exception
    assert not page.error
    text = sentences(page.info)
    assert absent in text
    assert reason in text
    table = page.dataframe[0].value
    without = table[~table["subset"].str.contains(absent)]
    assert table["score"].isna().sum() >= 4
    assert without["score"].notna().any()
    assert (table.loc[table["score"].isna(), "remark"] != "").all()


def test_a_typed_transcript_replaces_recognition_and_is_shown_as_typed():
    page = upload(opened(), "clip.mp4", movie(seconds=2), "what a *wonderful* <b>day</b>")
    assert not page.exception
    assert not page.error
    features = page.session_state["session"].analysis.features
    assert [word.text for word in features.words] == ["what", "a", "*wonderful*", "<b>day</b>"]
    assert "Typed words" in sentences(page.caption)
    assert page.dataframe[0].value["score"].notna().sum() == 1


def test_a_clip_without_modalities_is_a_result():
    page = upload(opened(), "clip.mp4", movie(seconds=2))
    assert not page.exception
    assert not page.error
    assert "nothing to predict from" in sentences(page.info)
    assert not page.metric


def test_an_unforeseen_error_shows_an_id_of_the_log(caplog):
    with spoken_in("en"):  # there is no session whose language could be asked for
        sentence = errors.sentence(RuntimeError("secret detail"))
    (record,) = caplog.records
    assert "secret detail" not in sentence
    assert record.args[0] in sentence
    assert record.exc_info[1].args == ("secret detail",)


@pytest.mark.parametrize("content", [b"no video", movie(seconds=1)])
def test_a_job_leaves_no_file_behind(content, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    job = Job(Clip(title="", data=content, mime="video/mp4"), owner="test")
    job.future.exception(TIMEOUT_SECONDS)
    assert list(tmp_path.iterdir()) == []


def test_an_abandoned_job_stops():
    job = Job(Clip(title="", data=movie(seconds=60, rate=10), mime="video/mp4"), owner="test")
    job.abandon()
    began = time.perf_counter()
    while not job.future.done() and time.perf_counter() - began < TIMEOUT_SECONDS:
        time.sleep(0.05)
    assert job.future.cancelled() or isinstance(job.future.exception(), AbandonedError)
