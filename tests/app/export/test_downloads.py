"""Downloads of a result: their content, in both languages, also when everything in the clip is hostile."""

from __future__ import annotations

import base64
import csv
import dataclasses
import io
import json
import time
import zipfile
from html.parser import HTMLParser
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest

from alignmamba.result import schema
from app.export import downloads, images, report
from app.i18n.translate import LANGUAGES, spoken_in
from app.services import model
from app.services.analysis import Analysis, Clip, predict_all
from extractors.language.subtitles import parse
from extractors.messages import Message
from extractors.schema import MODALITY_NAMES, FeatureSchema, ModalityFeatures
from tests.extractors.support import features

HOSTILE = ("<script>alert(1)</script>", '"><img/src=x', "=cmd|calc", "{{7*7}}", "好", "&lt;b&gt;", "url(http://x.test)")
TAGS = {"svg", "g", "path", "rect", "line", "text", "defs", "linearGradient", "stop", "clipPath"}


def analysis(*, texts=HOSTILE, absent=(), steps=40, title="<b>a</b> & b") -> Analysis:
    """The trained model's result on synthetic features."""
    made = features.clip(steps, texts, schema=FeatureSchema.from_dict(model.default().schema))
    gone = {name: ModalityFeatures.missing(Message("no_face"), getattr(made.schema, name).dim) for name in absent}
    words = () if "language" in absent else made.words
    whole = dataclasses.replace(
        made,
        **gone,
        words=words,
        duration=6.0,
        notes=(Message("recogniser_used", {"model": "<i>note</i>", "device": "cpu", "type": "int8"}),),
    )
    clip = Clip(title=title, data=b"bytes", mime="video/mp4")
    return predict_all(clip, whole, began=time.perf_counter(), reused=False)


@pytest.fixture(scope="module")
def hostile() -> Analysis:
    return analysis()


class Files(dict):
    """Downloads by name, each made on access."""

    def __init__(self, of: Analysis, code: str) -> None:
        self.code = code
        super().__init__({download.file: download.make for download in downloads.downloads(of, of.available)})

    def __getitem__(self, name: str) -> bytes:
        with spoken_in(self.code):
            return super().__getitem__(name)()


class Page(HTMLParser):
    """An HTML file as a browser parses it: tags with their attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def assert_harmless(svg: str) -> None:
    """Hold an SVG to drawing: no script, no link, no style from elsewhere."""
    for element in ElementTree.fromstring(svg).iter():
        assert element.tag.removeprefix("{http://www.w3.org/2000/svg}") in TAGS
        for name, value in element.attrib.items():
            assert not name.startswith("on") and not name.endswith("href")
            assert "url(" not in value or value.startswith("url(#")


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_report_is_one_file_that_runs_and_loads_nothing(hostile, code):
    page = Page(Files(hostile, code)["report.html"].decode())
    names = [name for name, _ in page.tags]
    assert not {"script", "iframe", "link", "object", "form", "a", "b", "i"} & set(names)
    policy = next(kept["content"] for name, kept in page.tags if "http-equiv" in kept)
    assert policy.startswith("default-src 'none'")
    assert ("html", {"lang": code}) in page.tags
    for _name, attributes in page.tags:
        assert not any(key.startswith("on") or key == "href" for key in attributes)
    shown = [attributes for name, attributes in page.tags if name == "img"]
    assert len(shown) == 6
    for image in shown:
        assert image["alt"]
        head, _, content = image["src"].partition(",")
        assert head == "data:image/svg+xml;base64"
        assert_harmless(base64.b64decode(content).decode())
    for text in (*HOSTILE, "<b>a</b> & b", "<i>note</i>"):
        assert text in page.text, "quoted as plain text"
    assert ("检查点" in page.text) == (code == "zh")
    assert page.text.count("▲") + page.text.count("▼") > 2, "colour is not alone"


def test_every_file_holds_the_result(hostile):
    made = Files(hostile, "en")
    plain = json.loads(made["result.json"])
    jsonschema.Draft202012Validator(schema()).validate(plain)
    full = hostile.predictions[hostile.available]
    assert plain["prediction"]["score"] == pytest.approx(full.score, abs=1e-6)
    assert plain["clip"]["sha256"] == hostile.clip.content[0]
    assert [word.text for word in parse(made["words.vtt"].decode()).words] == [
        word.text for word in hostile.features.words if any(map(str.isalnum, word.text))
    ]
    for name in MODALITY_NAMES:
        rows = list(csv.reader(io.StringIO(made[f"features-{name}.csv"].decode())))
        part = hostile.features.modality(name)
        assert len(rows) == len(part.start) + 1
        numbers = np.array([row[-part.values.shape[1] :] for row in rows[1:]], np.float32)
        assert np.array_equal(numbers, part.values)
    names = {"score", "classes", "timeline", "contributions", "alignment-audio", "alignment-video"}
    for kind in ("svg", "png"):
        with zipfile.ZipFile(io.BytesIO(made[f"charts-{kind}.zip"])) as archive:
            assert {f"{name}.{kind}" for name in names} == set(archive.namelist())
            for name in archive.namelist():
                content = archive.read(name)
                if kind == "svg":
                    assert_harmless(content.decode())
                else:
                    assert content.startswith(b"\x89PNG")


def test_a_png_without_a_font_is_in_english_with_a_note(hostile, monkeypatch):
    monkeypatch.setattr(images, "_can_render", lambda one, other: False)
    packed = Files(hostile, "zh")["charts-png.zip"]
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert "英文" in archive.read("note.txt").decode()
    with spoken_in("zh"):
        assert images.png_language() == "en"
    monkeypatch.undo()
    assert not images._can_render("\U0010fffd", "\U0010fffe"), "no font has these letters"


def test_a_report_names_the_subset_and_the_absent_modality():
    partly = analysis(absent=("video",))
    with spoken_in("en"):
        page = Page(report.html(partly, {"audio"})).text
    assert "Face could not be used: no face found." in page
    assert "From voice, this clip" in page
    assert "no face in this clip" in page
    assert "features-video.csv" not in Files(partly, "en")


def test_a_clip_without_modalities_has_a_report_too():
    none = analysis(absent=MODALITY_NAMES, texts=())
    made = Files(none, "en")
    assert set(made) == {"report.html", "result.json"}
    assert "nothing to predict from" in Page(made["report.html"].decode()).text
    assert json.loads(made["result.json"])["prediction"] is None


def test_a_long_clip_makes_files_of_bearable_size():
    long = analysis(steps=1200, texts=[f"word{index}" for index in range(300)])
    assert len(Files(long, "en")["report.html"]) < 6_000_000
