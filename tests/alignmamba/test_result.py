"""Results as documents, held against their JSON Schema by a library that did not make them."""

import copy
import dataclasses
import json

import jsonschema
import numpy as np
import pytest

from alignmamba import checkpoint, result
from alignmamba.modality import MODALITIES, SUBSETS
from alignmamba.modeling.model import AlignMamba
from alignmamba.prediction import SegmentScore
from alignmamba.predictor import Predictor
from tests.alignmamba.clips import config
from tests.alignmamba.test_predictor import SCHEMA as FEATURES
from tests.alignmamba.test_predictor import Clip as Steps

SCHEMA = result.schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


class Word:
    def __init__(self, text, start):
        self.text, self.start, self.end, self.speaker = text, start, start + 0.1, None


class Clip(Steps):
    """A clip with the words and notes that a document contains."""

    duration = 1.25
    transcript_source = "given"
    notes = ("A note.",)

    def __init__(self, absent=(), **steps):
        super().__init__(absent={*absent, *(name for name in MODALITIES if name not in steps)}, **steps)
        count = steps.get("language", 0)
        self.words = tuple(Word(("</script>", "好", "a\u2028b", '"')[index % 4], index / 10) for index in range(count))
        self.step_seconds = {"acoustic": 0.25}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    checkpoint.save(folder, AlignMamba(config()), schema=FEATURES, training={})
    return Predictor.from_pretrained(folder, device="cpu")


def made(predictor, clip, **options):
    """A clip's document, and the predictions that it contains."""
    predictor.set_clip(clip)
    predictions = {subset: predictor.predict(subset) for subset in SUBSETS if subset <= predictor.available}
    return result.document(clip, predictions, clip={"title": "A clip"}, checkpoint="small", **options), predictions


def test_the_schema_is_one_itself_and_names_the_version():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["version"]["enum"][-1] == result.VERSION
    assert SCHEMA["$id"].endswith(result.VERSION)


@pytest.mark.parametrize(
    "steps",
    [
        {"audio": 12, "video": 9, "language": 4},
        {"audio": 12, "video": 9},
        {"language": 1},
        {"audio": 3, "video": 2, "language": 5, "absent": ("language", "video")},
    ],
)
def test_a_document_follows_the_schema_and_tells_what_was_predicted(predictor, steps):
    clip = Clip(**steps)
    plain, predictions = made(predictor, clip)
    assert json.loads(result.to_json(plain)) == plain, "only what JSON knows, and back to the same"
    VALIDATOR.validate(plain)
    full = predictions[max(predictions, key=len)]
    detail = plain["prediction"]
    assert detail["score"] == pytest.approx(full.score, abs=1e-6)
    assert set(detail["used"]) == set(full.used)
    assert len(plain["subsets"]) == len(predictions)
    assert [word["text"] for word in plain["transcript"]["words"]] == [word.text for word in clip.words]
    for alignment in detail["alignments"]:
        plan = np.zeros_like(full.alignments[alignment["source"]].plan)
        pairs = alignment["pairs"]
        plan[pairs["source_step"], pairs["target_step"]] = pairs["weight"]
        np.testing.assert_allclose(plan, full.alignments[alignment["source"]].plan, atol=1e-6)
    for name, columns in detail["contributions"].items():
        assert {len(column) for column in columns.values()} == {steps[name]}


def test_a_chosen_subset_is_told_in_full_and_an_unknown_one_refused(predictor):
    clip = Clip(audio=5, language=3)
    plain, predictions = made(predictor, clip, used={"audio"})
    assert plain["prediction"]["used"] == ["audio"]
    assert plain["prediction"]["score"] == pytest.approx(predictions[frozenset({"audio"})].score, abs=1e-6)
    with pytest.raises(ValueError, match="used: \\['video'\\] not predicted"):
        made(predictor, clip, used={"video"})


def test_nothing_to_judge_is_a_document(predictor):
    plain, _ = made(predictor, Clip())
    VALIDATOR.validate(plain)
    assert plain["prediction"] is None
    assert plain["subsets"] == []


@pytest.mark.parametrize(
    "path",
    [
        ("version",),
        ("prediction", "score"),
        ("subsets", 0, "classes", "neutral"),
        ("transcript", "words", 0, "start_s"),
    ],
)
def test_the_schema_refuses_what_is_missing_or_of_another_kind(predictor, path):
    plain, _ = made(predictor, Clip(audio=4, language=2))
    for corrupt in (lambda place, key: place.pop(key), lambda place, key: place.update({key: "much"})):
        corrupted = copy.deepcopy(plain)
        place = corrupted
        for key in path[:-1]:
            place = place[key]
        corrupt(place, path[-1])
        assert not VALIDATOR.is_valid(corrupted)
    assert not VALIDATOR.is_valid({**plain, "more": 1})


def test_a_calibrated_interval_is_told(predictor):
    _, predictions = made(predictor, clip := Clip(audio=4))
    sure = {
        subset: dataclasses.replace(prediction, interval=(-1.0, 1.5), interval_coverage=0.9)
        for subset, prediction in predictions.items()
    }
    plain = result.document(clip, sure, clip={"title": "A clip"}, checkpoint="small")
    VALIDATOR.validate(plain)
    expected = {"low": -1.0, "high": 1.5, "coverage": 0.9}
    assert plain["prediction"]["score_interval"] == plain["subsets"][0]["score_interval"] == expected
    assert plain["prediction"]["undecided"] is plain["subsets"][0]["undecided"] is True
    assert made(predictor, clip)[0]["prediction"]["undecided"] is False, "without an interval"


class Sentence:
    first, last, start, end, speaker = 0, 1, 0.0, 0.2, "Ann"


def test_sentences_are_told_with_their_scores(predictor):
    clip = Clip(audio=12, video=9, language=4)
    interval = SegmentScore(
        score=1.5,
        used=frozenset(MODALITIES),
        contributions={"language": np.array([0.5, -0.25], np.float32)},
        interval=(1.0, 2.0),
    )
    alone = SegmentScore(score=-0.5, used=frozenset(MODALITIES[:1]), contributions={})
    plain, _predictions = made(predictor, clip, sentences=[(Sentence, [interval, alone, None])])
    VALIDATOR.validate(plain)
    (sentence,) = plain["sentences"]
    assert sentence["text"] == "</script> 好"
    assert sentence["speaker"] == "Ann"
    assert [score["score"] for score in sentence["scores"]] == [1.5, -0.5]
    assert sentence["scores"][0]["interval"] == {"low": 1.0, "high": 2.0}
    assert sentence["contributions"] == {"language": 0.25}


def test_documents_of_the_version_before_are_still_read(predictor):
    plain, _predictions = made(predictor, Clip(audio=12, video=9, language=4))
    older = {key: value for key, value in plain.items() if key != "sentences"} | {"version": "1.1"}
    VALIDATOR.validate(older)
