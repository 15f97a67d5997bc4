"""Robustness, Compare and About on a sample, driven as a user would; hostile query parameters."""

from __future__ import annotations

import re
import shutil

import pytest
from streamlit.testing.v1 import AppTest

from alignmamba.evaluation.missing import expected
from alignmamba.modality import SUBSETS, Modality
from alignmamba.predictor import Predictor
from app.charts import diagram
from app.services import documents, model, results, samples, sweeps
from app.services.analysis import Analysis, on_disk
from app.services.session import Session
from app.services.sharing import links, pins
from extractors.language.transcript import Transcript
from extractors.workers import client
from tests.paths import APP

TIMEOUT_SECONDS = 300
ALL = SUBSETS[0]


def opened(name: str, **link: str) -> AppTest:
    """A session that begins on a page, by a link."""
    page = AppTest.from_file(str(APP / "main.py"), default_timeout=TIMEOUT_SECONDS)
    page.session_state["session"] = Session(greeted=True)  # so that the first page does not analyse a sample
    page.run().switch_page(f"app_pages/{name}.py")
    for key, value in link.items():
        page.query_params[key] = value
    return page.run()


def sentences(elements) -> str:
    return " ".join(element.value.replace("\\", "") for element in elements)


def kind(page: AppTest):
    return next(control for control in page.get("segmented_control") if str(control.key).startswith("kind-"))


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return samples.analysed(samples.shipped()[0])


def extracted_here(analysis: Analysis) -> Predictor:
    """A predictor with the clip: what is shipped may come from another processor, where Whisper rounds otherwise."""
    predictor = model.default()
    words = Transcript(words=analysis.features.words, source="recognised")
    with on_disk(analysis.clip) as path:
        features = client.extract(path, words, encoder=predictor.encoder, feature_set=model.feature_set(predictor))
    own = predictor.fork()
    own.set_clip(features)
    return own


def sweep(name: str, analysis: Analysis, used: frozenset[Modality] = ALL, count: int = 2) -> sweeps.Sweep:
    return sweeps.Sweep(kind=name, analysis=analysis, used=used, seeds=sweeps.seeds(count))


def test_a_curve_begins_with_the_whole_clip_and_ends_without(analysis):
    full = analysis.predictions[ALL].score
    without_face = analysis.predictions[ALL - {Modality.VIDEO}].score
    frames = list(sweep("frames", analysis).draws())
    assert [(p.x, p.seed) for p in frames[:2]] == [(0.0, 1111), (0.0, 1112)]
    assert [p.score for p in frames[:2]] == pytest.approx([full, full])
    assert [p.score for p in frames[-2:]] == pytest.approx([without_face, without_face])
    assert frames == list(sweep("frames", analysis).draws()), "the same seeds, the same draws"
    assert len({p.score for p in frames}) > 6


def test_missing_modalities_have_an_exact_mean_beside_single_draws(analysis):
    asked = sweep("modalities", analysis, count=3)
    points = list(asked.draws())
    assert asked.levels[0] == 0
    assert asked.levels[-1] == pytest.approx(2 / 3)
    scores = {subset: each.score for subset, each in analysis.predictions.items()}
    table = asked.summary(points)
    assert table["mean"].tolist() == pytest.approx([expected(rate, scores).mean for rate in asked.levels])
    assert {p.score for p in points} <= set(scores.values())
    two = sweep("modalities", analysis, ALL - {Modality.AUDIO})
    assert two.levels == pytest.approx((0, 0.1, 0.2, 0.3, 0.4, 0.5)), "of two modalities at most half is missing"
    alone = sweep("modalities", analysis, frozenset({Modality.AUDIO}))
    assert alone.levels == (0.0,)


def test_words_and_noise_are_extracted_again_and_a_stopped_curve_continues(analysis, monkeypatch):
    monkeypatch.setattr(sweeps, "ALL_RATES", (0.0, 1.0))
    monkeypatch.setattr(sweeps, "DECIBELS", (400.0, -5.0))
    reports = []
    words = list(sweep("words", analysis).draws(report=lambda *progress: reports.append(progress)))
    assert words[0].score == pytest.approx(analysis.predictions[ALL].score, abs=1e-3)
    assert words[-1].score == pytest.approx(analysis.predictions[ALL - {Modality.LANGUAGE}].score, abs=1e-3)
    assert reports[-1] == (4, 4)
    assert list(sweep("words", analysis).draws(done=3)) == words[3:], "in the middle of a level"
    noise = list(sweep("noise", analysis, frozenset({Modality.AUDIO})).draws())
    clean = extracted_here(analysis).predict({Modality.AUDIO}).score
    assert [p.x for p in noise] == [400, 400, -5, -5]
    assert noise[0].score == pytest.approx(noise[1].score, abs=1e-6), "too soft to change a sample"
    assert noise[0].score == pytest.approx(clean, abs=1e-3)
    assert noise[2].score != noise[3].score, "each seed has a noise of its own"
    assert abs(noise[2].score - clean) > 0.05
    assert noise[-1].lost == "-5 dB"


def test_seven_subsets_with_differences_and_replacements():
    page = opened("robustness", sample="negative", modalities="lv")
    assert not page.exception
    assert not page.error
    assert not page.warning
    table = page.dataframe[0].value
    assert len(table) == 7
    assert table["difference"].iloc[0] == 0
    row = table[table["subset"] == "Voice + Face"].iloc[0]
    assert row["difference"] == pytest.approx(row["score"] - table["score"].iloc[0])
    assert row["replacement"] == "Words: nothing, its tokens are left out; Voice aligned to Face"
    assert page.get("pills")[0].value == ["language", "video"], "the link has chosen"
    chosen = table[table["subset"] == "Words + Face"].iloc[0]
    assert float(page.metric[0].value) == pytest.approx(chosen["score"], abs=0.006)
    assert "Computed, not measured" in sentences(page.caption)
    assert len(page.get("vega_lite_chart")) == 3, "gauge, the clip's curve, the checkpoint's"
    moments = kind(page).set_value("moments").run()
    assert moments.query_params["tab"] == ["moments"] or moments.query_params["tab"] == "moments"
    assert "no such curve" in sentences(moments.info)
    assert len(moments.dataframe[-1].value) == len(sweeps.RATES)
    nothing = page.get("pills")[0].set_value([]).run()
    assert "at least one" in sentences(nothing.info)
    assert not nothing.exception


def test_a_slow_curve_is_drawn_on_demand(monkeypatch):
    monkeypatch.setattr(sweeps, "ALL_RATES", (0.0, 1.0))
    page = opened("robustness", tab="words")
    assert not page.exception
    assert "0 of 10 draws" in sentences(page.caption)
    drawn = page.button(key="sweep-start").click().run()
    assert not drawn.exception
    assert not drawn.error
    assert len(drawn.dataframe[-1].value) == 2
    assert "sweep-start" not in {button.key for button in drawn.button}
    assert "1111, 1112, 1113, 1114, 1115" in sentences(drawn.caption)


@pytest.mark.parametrize("name", ["no-sound", "no-face"])
def test_what_a_clip_lacks_is_no_error(name):
    page = opened("robustness", sample=name, tab="frames" if name == "no-face" else "noise")
    assert not page.exception
    assert not page.error
    table = page.dataframe[0].value
    assert table["score"].isna().sum() >= 4
    assert (table.loc[table["score"].isna(), "remark"] != "").all()
    assert "nothing to lose" in sentences(page.info)


HOSTILE = [
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "",
    "x" * 5000,
    "lll",
    "positive,negative",
    "![x](http://x)",
]


def test_a_hostile_link_is_refused_with_a_sentence():
    page = opened("robustness")
    for value in HOSTILE:
        for key in (links.SAMPLE, links.MODALITIES, links.TAB):
            page.query_params[key] = value
        page.run()
        assert not page.exception
        assert not page.error
        assert len(page.warning) == 3, value
        for warning in page.warning:
            assert "The link asks for" in warning.value
            assert len(warning.value) < 400
            assert not re.search(r"(?<!\\)[<\[]", warning.value), "quoted, not markup"
        assert len(page.dataframe[0].value) == 7, "and the page works"
        assert not {links.MODALITIES, links.TAB} & set(page.query_params)


HOSTILE_PINS = [
    "positive.lav",
    "positive.lax.alignmamba-open",
    "positive.l.../../x",
    "nobody.l.alignmamba-open",
    "no-face.v.alignmamba-open",
    ",".join(["positive.l.alignmamba-open"] * 9),
    "<b>",
]


def test_a_hostile_link_pins_nothing():
    page = opened("compare", tab="pins")
    for value in HOSTILE_PINS:
        del page.session_state["pins-restored"]
        page.query_params[links.PINS] = value
        page.run()
        assert not page.exception
        assert not page.error
        assert "The link asks for" in sentences(page.warning), value
        assert not page.metric


def test_results_are_pinned_side_by_side_and_a_link_restores_them(tmp_path, monkeypatch):
    shutil.copytree(model.CHECKPOINT, tmp_path / model.CHECKPOINT.name, ignore=shutil.ignore_patterns("encoder"))
    shutil.copytree(model.CHECKPOINT, tmp_path / "other", ignore=shutil.ignore_patterns("encoder"))
    (tmp_path / "no-checkpoint").mkdir()
    monkeypatch.setattr(model, "FOLDER", tmp_path)
    model.load.clear()
    assert model.names() == [model.CHECKPOINT.name, "other"]
    page = opened("compare", sample="positive", tab="pins")
    assert "Nothing is pinned" in sentences(page.info)
    page.button(key="pin").click().run()
    page.get("pills")[0].set_value(["language"]).run()
    page.selectbox(key="compare-checkpoint").set_value("other").run()
    both = page.button(key="pin").click().run()
    assert not both.exception
    assert not both.error
    assert len(both.metric) == 2
    assert both.metric[1].delta.endswith("to the first")
    table = both.dataframe[0].value
    assert table["Checkpoint"].tolist() == [model.CHECKPOINT.name, "other"]
    assert table["Difference to the first"].iloc[0] == 0
    again = both.button(key="pin").click().run()
    assert "pinned already" in sentences(again.error)
    link = pins.LINKED.findall("".join(again.query_params[links.PINS]))
    assert link == [("positive", "avl", model.CHECKPOINT.name), ("positive", "l", "other")]
    restored = opened("compare", pins=f"positive.avl.{model.CHECKPOINT.name},positive.l.other")
    assert [metric.value for metric in restored.metric] == [metric.value for metric in both.metric]
    fewer = restored.button(key=next(b.key for b in restored.button if b.key.startswith("unpin"))).click().run()
    assert len(fewer.metric) == 1
    model.load.clear()


def test_about_shows_the_shapes_the_card_and_the_rules():
    page = opened("about", sample="positive")
    assert not page.exception
    assert not page.error
    features = samples.analysed(samples.shipped()[0]).features
    (graph,) = page.get("graphviz_chart")
    steps, words = len(features.audio.values), len(features.words)
    assert f"{steps} × 823" in graph.proto.spec
    assert f"{3 * words} × 64" in graph.proto.spec
    alone = page.get("pills")[0].set_value(["audio"]).run()
    assert f"{steps} × 64" in alone.get("graphviz_chart")[0].proto.spec
    assert "plan to" not in alone.get("graphviz_chart")[0].proto.spec
    text = sentences(page.markdown)
    assert all(part in text for part in ("Research use only", "Article 50(3)", "audEERING", "never a clip"))
    assert "<!--" not in text
    assert [tab.label for tab in page.tabs] == ["How it works", "Model card", "Limits", "Licences", "Privacy"]


def test_documents_lose_comments_and_sink(tmp_path):
    file = tmp_path / "read.md"
    file.write_text("# One\n<!-- hidden -->\n## Two\ntext\n## Three\nmore\n")
    assert documents.read(file, below=2) == "### One\n#### Two\ntext\n#### Three\nmore\n"
    assert documents.section(file.read_text(), "Two") == "text"
    with pytest.raises(ValueError, match="no section 'Four', expected one of"):
        documents.section(file.read_text(), "Four")


def test_a_graph_escapes_its_texts():
    assert diagram._escaped('a "b" \\') == 'a \\"b\\" \\\\'


def test_a_measured_curve_replaces_a_computed_one(tmp_path):
    content = (model.CHECKPOINT / "metrics.json").read_text(encoding="utf-8")
    assert results.missing_rows(results.read(model.CHECKPOINT / "metrics.json"), "acc2_non0").empty
    more = content.replace('"rows": [', '"missing": [{"missing_rate": 0.5, "acc2_non0": 0.75}],\n "rows": [', 1)
    (tmp_path / "metrics.json").write_text(more, encoding="utf-8")
    record = results.read(tmp_path / "metrics.json")
    assert results.missing_rows(record, "acc2_non0").to_numpy().tolist() == [[0.5, 75.0]]
    assert len(results.checkpoint_table(record)) == len(record.rows) - 1
