"""Charts, their tables and sentences, on arrays small enough to check by eye."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from alignmamba.modality import SUBSETS, Modality
from alignmamba.prediction import Alignment, Prediction, class_of
from app.charts import alignment_table, scores
from app.i18n import wording
from app.services import upload
from app.services.errors import PlainError
from extractors.schema import ClipFeatures, FeatureSchema, ModalityFeatures, ModalitySchema, Word

SCHEMA = FeatureSchema(
    audio=ModalitySchema(dim=1, rate=10.0, extractor="test"),
    video=ModalitySchema(dim=1, rate=10.0, extractor="test"),
    language=ModalitySchema(dim=1, rate=None, extractor="test"),
)


def stream(start: np.ndarray, end: np.ndarray, *, invalid: tuple[int, ...] = ()) -> ModalityFeatures:
    valid = np.ones(len(start), bool)
    valid[list(invalid)] = False
    return ModalityFeatures(
        values=valid[:, None].astype(np.float32), start=start.astype(float), end=end.astype(float), valid=valid
    )


def clip(*, steps: int = 6, words: tuple[str, ...] = ("yes", "no", "yes"), invalid: tuple[int, ...] = ()):
    times = np.arange(steps) / 10
    spoken = np.linspace(0, steps / 10, len(words) + 1)
    return ClipFeatures(
        audio=stream(times, times + 0.1, invalid=invalid),
        video=stream(times, times + 0.1),
        language=stream(spoken[:-1], spoken[1:]),
        words=tuple(
            Word(text=text, start=start, end=end)
            for text, start, end in zip(words, spoken[:-1].tolist(), spoken[1:].tolist(), strict=True)
        ),
        duration=steps / 10,
        schema=SCHEMA,
        transcript_source="given",
    )


def aligned(features: ClipFeatures, *, target: Modality = Modality.LANGUAGE) -> Alignment:
    """An alignment with costs 0, 0.01, 0.02, ... and every step paired with the first anchor step."""
    source, anchor = features.audio, features.modality(target)
    shape = (len(source.values), len(anchor.values))
    cost = (np.arange(np.prod(shape)).reshape(shape) / 100).astype(np.float32)
    cost[~source.valid] = np.nan
    plan = np.zeros(shape, np.float32)
    plan[source.valid, 0] = 1 / source.valid.sum()
    return Alignment(source=Modality.AUDIO, target=target, plan=plan, cost=cost)


def prediction(features: ClipFeatures, **contributions: np.ndarray) -> Prediction:
    return Prediction(
        score=1.0,
        classes={"negative": 0.1, "neutral": 0.2, "positive": 0.7},
        used=frozenset(Modality(name) for name in contributions),
        anchor=Modality.LANGUAGE,
        alignments={},
        mmd={},
        contributions=contributions,
        running_scores=None,
        backend="test",
        milliseconds=1.0,
    )


def test_a_small_map_is_exact():
    features = clip(invalid=(2,))
    table = alignment_table.tabulate(aligned(features), features)
    assert table.averaged == 1
    assert len(table.cells) == 5 * 3, "the invalid step has no cells"
    assert not table.cells["start"].between(0.15, 0.25).any()
    cell = table.cells[(table.cells["label"] == "3 yes") & np.isclose(table.cells["start"], 0.1)].iloc[0]
    assert cell["cost"] == pytest.approx(0.05)
    assert cell["weight"] == 0
    assert (cell["anchor_start"], cell["anchor_end"]) == pytest.approx((0.4, 0.6))
    assert table.plan["word"].tolist() == ["yes"] * 5
    assert table.plan["weight"].sum() == pytest.approx(1.0)


def test_a_repeated_word_has_two_rows():
    features = clip()
    table = alignment_table.tabulate(aligned(features), features)
    assert table.words == ("1 yes", "2 no", "3 yes")
    assert table.spoken["label"].tolist() == list(table.words)


def test_a_large_map_is_averaged_but_its_plan_is_not():
    features = clip(steps=1000, words=tuple("w" * 50), invalid=(0, 1, 2, 3))
    exact = aligned(features)
    table = alignment_table.tabulate(exact, features, max_cells=1000)
    assert table.averaged == 50
    assert len(table.cells) == 20 * 50
    assert len(table.plan) == 996
    first = table.cells[(table.cells["label"] == "1 w") & (table.cells["start"] == 0)].iloc[0]
    assert first["cost"] == pytest.approx(np.nanmean(exact.cost[:50, 0]), rel=1e-5)
    assert first["end"] == pytest.approx(5.0)
    assert table.cells["weight"].sum() == pytest.approx(1.0)


def test_a_plan_that_splits_steps_is_drawn_by_its_shares():
    features = clip(steps=2)
    found = aligned(features)
    plan = np.array([[0.45, 0.04, 0.01], [0.25, 0.15, 0.1]], np.float32)
    table = alignment_table.tabulate(dataclasses.replace(found, plan=plan), features, solver=wording.SINKHORN)
    drawn = [(row.label, row.share) for row in table.plan.itertuples()]
    assert [label for label, _ in drawn] == ["1 yes", "1 yes", "2 no", "3 yes"], "under a tenth of 0.45 is left out"
    assert [share for _, share in drawn] == pytest.approx([0.9, 0.5, 0.3, 0.2])
    assert table.cost == pytest.approx((plan * found.cost).sum())
    spec = scores.alignment_map(table).to_dict()
    assert spec["title"] == "Voice aligned to words (Sinkhorn)"
    assert spec["layer"][1]["encoding"]["opacity"]["field"] == "share"
    relaxed = alignment_table.tabulate(found, features)
    assert (relaxed.plan["share"] == 1).all()


def test_a_large_plan_that_splits_steps_is_averaged_like_its_costs():
    features = clip(steps=1000, words=tuple("w" * 50), invalid=(0, 1, 2, 3))
    found = aligned(features)
    plan = np.zeros_like(found.plan)
    plan[features.audio.valid] = 1 / (996 * 50)
    table = alignment_table.tabulate(dataclasses.replace(found, plan=plan), features, max_cells=1000)
    assert len(table.plan) == len(table.cells) == 20 * 50
    assert table.plan["weight"].sum() == pytest.approx(1.0)
    assert table.plan["share"].to_numpy() == pytest.approx(1 / 50)


def test_ragged_blocks_reach_the_end_of_the_clip():
    features = clip(steps=11, words=("a",))
    table = alignment_table.tabulate(aligned(features), features, max_cells=3)
    assert table.averaged == 4
    assert table.cells["end"].max() == pytest.approx(1.1)


def test_a_map_without_words_has_seconds_on_both_sides():
    features = clip(steps=40)
    table = alignment_table.tabulate(aligned(features, target=Modality.VIDEO), features, max_cells=400)
    assert table.words == ()
    assert table.averaged == 2
    spec = scores.alignment_map(table).to_dict()
    assert [layer["mark"]["type"] for layer in spec["layer"]] == ["rect", "rect"]
    assert spec["layer"][0]["encoding"]["y"]["title"] == "Face (seconds)"
    assert spec["layer"][0]["encoding"]["y2"] == {"field": "anchor_end"}


def test_the_map_shows_word_seconds_weight_and_cost_on_hover():
    features = clip()
    spec = scores.alignment_map(alignment_table.tabulate(aligned(features), features)).to_dict()
    for layer in spec["layer"][:2]:
        fields = {entry["field"] for entry in layer["encoding"]["tooltip"]}
        assert fields == {"word", "anchor_start", "anchor_end", "start", "end", "cost", "weight"}
    assert spec["layer"][0]["encoding"]["y"]["scale"]["domain"] == ["1 yes", "2 no", "3 yes"]


def test_words_stay_data_in_a_chart():
    """A word is never part of an expression that the browser evaluates."""
    hostile = "'+alert(1)+'"
    features = clip(words=(hostile, "<b>x</b>"))
    spec = scores.alignment_map(alignment_table.tabulate(aligned(features), features)).to_dict()
    assert hostile not in spec["layer"][0]["encoding"]["y"]["axis"]["labelExpr"]


@pytest.mark.parametrize("score", [-3.0, 0.0, 1.234, 3.0])
def test_the_gauge_points_at_the_score(score):
    spec = scores.gauge(score).to_dict()
    data = spec["datasets"]
    pointers = [layer for layer in spec["layer"] if layer["mark"]["type"] in ("tick", "point")]
    assert len(pointers) == 2
    for layer in pointers:
        assert data[layer["data"]["name"]] == [{"score": score}]
    x = spec["layer"][0]["encoding"]["x"]
    assert x["scale"]["domain"] == [-3.0, 3.0]
    assert x["axis"]["values"] == [-3.0, 0, 3.0]  # few enough that no label gives way to another
    assert all(
        f'"{label}"' in x["axis"]["labelExpr"] for label in ("-3 very negative", "0 neutral", "+3 very positive")
    )


def test_class_bars_keep_the_order_of_the_classes():
    spec = scores.class_bars({"negative": 0.7, "neutral": 0.2, "positive": 0.1}).to_dict()
    rows = next(iter(spec["datasets"].values()))
    assert [row["class"] for row in rows] == ["Negative", "Neutral", "Positive"]
    assert [row["probability"] for row in rows] == [0.7, 0.2, 0.1]


def test_contributions_keep_their_sum_when_they_are_binned():
    features = clip(steps=100)
    values = np.linspace(-1, 2, 100).astype(np.float32)
    table = alignment_table.contributions(
        prediction(features, audio=values, language=np.array([0.5, -1.0, 0.0], np.float32)), features, max_moments=7
    )
    voice = table[table["row"].str.startswith("Voice")]
    assert len(voice) == 7
    assert voice["contribution"].sum() == pytest.approx(values.sum(), rel=1e-5)
    assert voice["end"].iloc[-1] == pytest.approx(10.0)
    words = table[table["row"].str.startswith("Words")]
    assert words["what"].tolist() == ["yes", "no", "yes"]
    assert words["strength"].tolist() == [0.5, -1.0, 0.0]


def test_contributions_of_zero_have_no_strength():
    features = clip()
    table = alignment_table.contributions(prediction(features, video=np.zeros(6, np.float32)), features)
    assert (table["strength"] == 0).all()
    assert scores.contribution_strip(table, 0.6).to_dict()["encoding"]["x"]["scale"]["domain"] == [0, 0.6]


@pytest.mark.parametrize(
    ("score", "degree"),
    [(-3, "very negative"), (-2.4, "negative"), (-0.6, "slightly negative"), (0.49, "neutral"), (9.0, "very positive")],
)
def test_scores_have_names(score, degree):
    assert wording.degree(score) == degree


@pytest.mark.parametrize(("number", "text"), [(-0.001, "+0.00"), (1.236, "+1.24"), (-3.0, "-3.00")])
def test_numbers_carry_their_sign(number, text):
    assert wording.signed(number) == text


@pytest.mark.parametrize(("probability", "text"), [(0.9999, "over 99%"), (0.5, "50%"), (0.0, "under 1%")])
def test_no_probability_reads_as_certain(probability, text):
    assert wording.share(probability) == text


def test_the_verdict_says_when_score_and_class_disagree():
    agreed = wording.verdict(2.1, {"negative": 0.1, "neutral": 0.1, "positive": 0.8}, {Modality.AUDIO})
    torn = wording.verdict(2.1, {"negative": 0.8, "neutral": 0.1, "positive": 0.1}, {Modality.AUDIO})
    assert agreed == "From voice, this clip comes across as **positive**."
    assert "undecided" in torn


def test_an_interval_over_both_signs_is_said_to_tell_nothing():
    voice = prediction(clip(), audio=np.zeros(6))
    torn = dataclasses.replace(voice, interval=(-0.5, 1.5), interval_coverage=0.8)
    assert wording.undecided(torn) == "I cannot tell: the interval covers both signs, -0.50 to +1.50."
    assert wording.undecided(voice) == ""
    assert wording.undecided(dataclasses.replace(torn, interval=(0.5, 1.5))) == ""


def test_every_subset_has_a_name_of_its_own():
    assert len({wording.subset(subset) for subset in SUBSETS}) == 7
    assert wording.subset(SUBSETS[0]) == "Words + Voice + Face"


def test_missing_modalities_are_named():
    assert wording.missing_from(SUBSETS[0], available={Modality.AUDIO}) == "no words or face in this clip"
    assert wording.missing_from({Modality.AUDIO}, available={Modality.AUDIO}) == ""


@pytest.mark.parametrize("text", ["![x](http://example.com/x.png)", "<b>", ":red[x]", "`a`", "$x$", "a_b_c", r"\*"])
def test_quoted_text_is_not_markup(text):
    plain = wording.plain(text)
    kept = plain.replace("\\\\", "\0")
    for character in "`*_[]()<>#!$:":
        assert kept.count(character) == kept.count("\\" + character)


BEGINNINGS = {
    "video/mp4": b"\x00\x00\x00\x20ftypisom",
    "video/quicktime": b"\x00\x00\x00\x14ftypqt  ",
    "audio/mp4": b"\x00\x00\x00\x20ftypM4A ",
    "video/3gpp": b"\x00\x00\x00\x20ftyp3gp4",
    "video/webm": b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm",
    "audio/wav": b"RIFF\x00\x00\x00\x00WAVEfmt ",
    "audio/ogg": b"OggS\x00\x02" + bytes(22) + b"OpusHead",
    "audio/flac": b"fLaC\x00",
    "audio/aiff": b"FORM\x00\x00\x00\x00AIFFCOMM",
    "audio/x-caf": b"caff\x00\x01",
    "audio/mpeg": b"ID3\x04",
    "video/mp2t": (b"\x47" + bytes(187)) * 3,
    "image/gif": b"GIF89a",
}


@pytest.mark.parametrize("mime", BEGINNINGS)
@pytest.mark.parametrize("name", ["clip", "clip.exe", "clip.mp4"])
def test_the_content_decides_what_a_file_is(mime, name):
    assert upload.clip(name, BEGINNINGS[mime]).mime == mime


@pytest.mark.parametrize(
    ("name", "data", "found"),
    [
        ("clip.mp4", b"%PDF-1.7", "a PDF document"),
        ("clip.mov", b"PK\x03\x04", "a ZIP archive"),
        ("clip.mp4", b"\x89PNG\r\n", "a still picture"),
        ("clip.doc", b"Dear Sir or Madam, this", "text"),
        ("clip.m3u8", b"#EXTM3U\n#EXT-X", "a playlist"),
        ("clip.bin", bytes(9), "something unknown"),
    ],
)
def test_what_was_found_in_a_file_is_named(name, data, found):
    with pytest.raises(upload.KindError, match=f"it holds {found}"):
        upload.clip(name, data)


def test_captions_come_beside_the_clip_in_any_encoding():
    made = upload.clip("clip.mp4", BEGINNINGS["video/mp4"], captions="WEBVTT\n\né".encode("utf-16"))
    assert made.transcript == "WEBVTT\n\né"
    for captions, transcript in ((b"a", "b"), (bytes(99), None), (b"a" * 2_000_001, None)):
        with pytest.raises(PlainError):
            upload.clip("clip.mp4", BEGINNINGS["video/mp4"], captions=captions, transcript=transcript)


@pytest.mark.parametrize("score", [-3.0, -1.06, -0.51, -0.31, 0.0, 0.5, 0.7, 2.9])
def test_the_class_that_is_shown_never_contradicts_the_score(score):
    step = round(score)
    assert wording.score_class(score) == ("negative" if step < 0 else "positive" if step > 0 else "neutral")
    assert (wording.score_class(score) in wording.degree(score)) or wording.degree(score) == "neutral"


def test_class_and_sentence_follow_the_score_over_the_whole_scale():
    order = {"negative": -1, "neutral": 0, "positive": 1}
    scale = [step / 1000 for step in range(-3_200, 3_201)]
    classes = [order[wording.score_class(score)] for score in scale]
    assert classes == sorted(classes) and set(classes) == {-1, 0, 1}
    assert classes == [-each for each in reversed(classes)]  # no side is preferred
    for score, each in zip(scale, classes, strict=True):
        assert each * score >= 0, "a class on the other side of zero than its score"


@pytest.mark.parametrize("score", [-0.5, 0.5, 0.49999, -0.50001, 3.4, -7.0])
def test_a_score_at_a_border_has_one_class_wherever_it_is_shown(score):
    assert wording.score_class(score) == class_of(score) == class_of(max(-3.0, min(3.0, score)))


def test_upload_names_decide_only_the_media_type():
    assert upload.media_type("../../etc/A.MP4") == "video/mp4"
    assert upload.media_type("a.mp4.exe") is None
    assert upload.media_type("noextension") is None
