"""The page Batch, driven as a user would: real extractors, the trained model, bad files among the good ones."""

from __future__ import annotations

import csv
import io
import json
import time

import jsonschema
import pytest
import streamlit as st
from streamlit.runtime.scriptrunner_utils.script_run_context import ThreadState
from streamlit.testing.v1 import AppTest

from alignmamba.evaluation import dropout
from alignmamba.modality import MODALITIES, Modality
from alignmamba.result import schema
from app.components import notice
from app.export import comparison_csv
from app.i18n.translate import KEY, spoken_in
from app.services import batch, samples
from app.services.batch import Batch, Status, rows
from tests.app.app_pages.test_analyse import APP, TIMEOUT_SECONDS, movie, sentences
from tests.app.export.test_downloads import analysis

FACE = (APP / "samples" / "no-sound.webm").read_bytes()
GREY = movie(seconds=1)
FILES = {
    "=one/face.webm": FACE,
    "two/grey.mp4": GREY,
    "list.mp4": b"ffconcat version 1.0\nfile grey.mp4\n",
    "a.mp4": GREY,
}


class File:
    """An uploaded file, as the upload field returns it."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name, self.size, self.getvalue = name, len(content), lambda: content


def given(**files: bytes) -> list[File]:
    return [File(name.replace("_", "."), content) for name, content in files.items()]


def hand_over(page: AppTest) -> AppTest:
    field = page.file_uploader(key="batch-files-False")
    for name, content in FILES.items():
        field.upload(name, content)
    return next(button for button in page.button if button.label == "Analyse these clips").click().run()


def finish(advance) -> None:
    end = time.monotonic() + TIMEOUT_SECONDS
    while advance():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_batch_from_the_first_file_to_the_table():
    page = AppTest.from_file(str(APP / "app_pages" / "batch.py"), default_timeout=TIMEOUT_SECONDS)
    page.session_state[notice.KEY] = True
    hand_over(page.run())
    assert not page.exception
    assert not page.error
    mine: Batch = page.session_state["batch"]
    finish(lambda: page.run() and mine.active)
    assert not page.exception
    table = page.dataframe[0].value
    assert list(table["status"]) == ["done", "done", "failed"]
    assert list(table["file"]) == ["=one/face.webm", "two/grey.mp4", "list.mp4"]
    assert list(table["used"]) == ["Face", "nothing to predict from", ""]
    assert -3 <= table["score"][0] <= 3
    assert "not a video" in table["error"][2]
    assert mine.duplicates == 1, "a.mp4 is grey.mp4"

    hand_over(page)
    assert not page.exception
    assert list(page.dataframe[0].value["status"]) == ["done", "done", "failed"], "at once: nothing is done twice"
    assert "4 of the files were there already" in sentences(page.caption)


def test_stopping_and_leaving_keep_finished_clips():
    several = Batch()
    several.add(given(one_mp4=GREY, two_mp4=movie(seconds=20)))
    several.start()
    several.advance()
    assert [row.status for row in several.rows.values()] == [Status.RUNNING, Status.WAITING]
    several.stop()
    assert [row.status for row in several.rows.values()] == [Status.WAITING, Status.WAITING]
    several.start()

    def advance() -> bool:
        several.advance()
        return several.active

    finish(advance)
    assert [row.status for row in several.rows.values()] == [Status.DONE, Status.DONE]
    assert all(row.clip is None for row in several.rows.values()), "bytes are dropped when they are no longer needed"
    first = next(iter(several.rows.values())).packed
    several.add(given(again_mp4=GREY))
    several.start()
    several.advance()
    assert several.duplicates == 1
    assert not several.active
    assert next(iter(several.rows.values())).packed is first


def test_files_that_are_not_accepted_fail_alone(monkeypatch):
    monkeypatch.setattr(batch, "MAX_CLIPS", 3)
    mixed = Batch()
    mixed.add([*given(virus_exe=b"x"), File("big.mp4", bytes(50_000_001)), *given(one_mp4=b"1", two_mp4=b"2")])
    statuses = {row.name: row.status for row in mixed.rows.values()}
    assert statuses == {
        "virus.exe": Status.FAILED,
        "big.mp4": Status.FAILED,
        "one.mp4": Status.WAITING,
        "two.mp4": Status.FAILED,
    }
    errors = [row.error for row in mixed.of(Status.FAILED)]
    assert [word in error for word, error in zip(("kind", "50 MB", "left out"), errors, strict=True)] == [True] * 3


def test_downloads_are_complete_and_harmless():
    row = rows.BatchRow(name="=cmd|calc.mp4", clip=None)
    analysis_row = rows.BatchRow(name="b.mp4", clip=None)
    document = analysis().document()
    analysis_row.succeed(document)
    row.fail("This file is empty.")
    lines = list(csv.DictReader(io.StringIO(rows.to_csv([row, analysis_row]).decode("utf-8-sig"))))
    assert [line["file"] for line in lines] == ["'=cmd|calc.mp4", "b.mp4"]
    assert lines[0]["error"] == "This file is empty."
    assert float(lines[1]["score"]) == document["prediction"]["score"]
    assert lines[1]["used"] == "audio language video"
    plain = json.loads(rows.to_json([row, analysis_row]))
    assert plain["clips"][0] == {
        "file": "=cmd|calc.mp4",
        "status": "failed",
        "error": "This file is empty.",
        "speaker": None,
        "label": None,
        "result": None,
    }
    jsonschema.Draft202012Validator(schema()).validate(plain["clips"][1]["result"])


def test_downloads_outlast_the_reruns_of_a_batch_that_runs(monkeypatch):
    offered = {}
    button = st.download_button

    def recorded(label, data, **settings):
        offered[label] = data, ThreadState.get().fragment_id
        return button(label, data, **settings)

    monkeypatch.setattr(st, "download_button", recorded)
    page = AppTest.from_file(str(APP / "app_pages" / "batch.py"), default_timeout=TIMEOUT_SECONDS)
    page.session_state[notice.KEY] = True
    page.session_state["batch"] = filled = Batch()
    filled.add(given(one_mp4=b"1", two_exe=b"2"))
    page.run()
    assert not page.exception
    assert {fragment for _make, fragment in offered.values()} == {None}, "what is rerun would renew them"
    make, _fragment = offered["Download as CSV"]
    assert [line["file"] for line in csv.DictReader(io.StringIO(make().decode("utf-8-sig")))] == ["one.mp4", "two.exe"]


def test_the_page_in_chinese_filters_what_is_there():
    page = AppTest.from_file(str(APP / "app_pages" / "batch.py"), default_timeout=TIMEOUT_SECONDS)
    page.session_state[notice.KEY] = True
    page.session_state[KEY] = "zh"
    mine = page.session_state["batch"] = Batch()
    mine.add(given(good_mp4=GREY, bad_exe=b""))
    page.run()
    assert not page.exception
    assert page.title[0].value == "多个片段"
    assert list(page.dataframe[0].value["status"]) == ["等待中", "失败"]
    next(field for field in page.text_input if field.key == "batch-search").set_value("GOOD").run()
    assert list(page.dataframe[0].value["file"]) == ["good.mp4"]
    with spoken_in("zh"):  # AppTest formats the option as the page does
        next(pills for pills in page.get("pills") if pills.key == "batch-status").set_value([Status.DONE]).run()
    assert not page.exception
    assert "没有片段符合" in sentences(page.info)


def finished(*named: tuple[str, str]) -> Batch:
    """A batch in which samples are done, each under a name."""
    several = Batch()
    for name, sample in named:
        row = rows.BatchRow(name=name, clip=None)
        found = samples.analysed(next(each for each in samples.shipped() if each.name == sample))
        row.succeed(found.document())
        several.rows[name] = row
    return several


def opened_with(several: Batch, **state: str) -> AppTest:
    page = AppTest.from_file(str(APP / "app_pages" / "batch.py"), default_timeout=TIMEOUT_SECONDS)
    page.session_state[notice.KEY] = True
    page.session_state["batch"] = several
    for name, value in state.items():
        page.session_state[name] = value
    page.run()
    assert not page.exception
    return page


def test_finished_clips_are_drawn_by_speaker_with_what_a_missing_modality_changes():
    several = finished(
        ("anna/1.webm", "positive"), ("ben/2.webm", "negative"), ("3.webm", "neutral"), ("anna/4.webm", "no-face")
    )
    several.add([File("list.csv", b"file,speaker,label\n1.webm,Anna,2\n2.webm,,-2\n3.webm,,-1\n4.webm,,so-so\n")])
    page = opened_with(several)
    assert not page.error
    assert [each.value for each in page.subheader] == ["Scores by speaker", "What a missing modality changes"]
    said = sentences(page.caption)
    assert "1 from a list, 2 from the folder of the clip, 1 unnamed" in said
    assert "Labels that are neither" in said
    assert "Clips: 3" in said and "With a label: 3" in said and "seed 1111" in said and "hint at most" in said
    assert "With other modalities, not among them: 1" in said
    table = page.dataframe[1].value
    assert table["missing"].tolist()[0] == "without words"
    assert list(table.columns) == ["missing", "score", "distance", "accuracy", "error"]
    means = [float(cell.split()[0]) for cell in table["score"]]
    clips = [row.scored() for row in several.rows.values()][:3]
    whole = frozenset(MODALITIES)
    expected = sum(clip.scores[whole - {Modality.LANGUAGE}] - clip.scores[whole] for clip in clips) / 3
    assert means[0] == pytest.approx(expected, abs=0.006)

    page = next(each for each in page.get("segmented_control") if each.key == "batch-group").set_value("al").run()
    assert not page.exception
    assert "Clips: 1" in sentences(page.caption)
    assert page.dataframe[1].value["missing"].tolist() == ["without words", "without voice"]


def test_clips_with_one_modality_have_none_to_lose():
    page = opened_with(finished(("a.webm", "no-sound")), **{KEY: "zh"})
    assert not page.error
    assert "没有片段具有一种以上的模态" in sentences(page.info)


def test_the_table_of_changes_as_csv():
    several = finished(("1.webm", "positive"), ("2.webm", "negative"))
    whole = frozenset(MODALITIES)
    found = dropout.changes([row.scored() for row in several.rows.values()], whole)
    lines = list(csv.DictReader(io.StringIO(comparison_csv.changes(found).decode("utf-8-sig"))))
    assert {(line["missing"], line["kept"]) for line in lines} >= {("v", "al"), ("avl"[1:], "a")}
    assert {(line["seed"], line["clips"]) for line in lines} == {("1111", "2")}
    assert {line["measure"] for line in lines} == {"score", "distance"}
