"""Scores of segments: in batches, and equal to those of each segment alone."""

from types import SimpleNamespace

import numpy as np
import pytest

from alignmamba import checkpoint
from alignmamba.evaluation.segments import score_segments
from alignmamba.modality import SUBSETS, letters
from alignmamba.modeling.model import AlignMamba
from alignmamba.predictor import BATCH_CLIPS, Predictor
from tests.alignmamba.clips import config, write_calibration
from tests.alignmamba.test_predictor import SCHEMA, Clip


class Cuttable(Clip):
    """A clip whose steps can be cut out."""

    duration = 12.0

    def between(self, start, end):
        parts = {}
        for name, steps in self._modalities.items():
            inside = ((steps.start + steps.end) / 2 >= start) & ((steps.start + steps.end) / 2 < end)
            cut = {key: getattr(steps, key)[inside] for key in ("values", "valid", "start", "end")}
            parts[name] = SimpleNamespace(**cut, absent=None if cut["valid"].any() else "nothing there")
        return SimpleNamespace(schema=self.schema, modality=parts.__getitem__)


@pytest.fixture
def predictor(tmp_path):
    checkpoint.save(tmp_path, AlignMamba(config()), schema=SCHEMA, training={})
    write_calibration(tmp_path)
    return Predictor.from_pretrained(tmp_path, device="cpu")


@pytest.mark.parametrize("asked", SUBSETS, ids=letters)
def test_segments_in_batches_score_as_each_alone(predictor, asked):
    clip = Cuttable(audio=120, video=97, language=41)
    starts = np.linspace(0, 11, BATCH_CLIPS + 5)
    spans = [(start, start + 0.3 + place % 3) for place, start in enumerate(starts.tolist())]
    found = score_segments(predictor, clip, spans, asked)
    assert len(found) == len(spans)
    alone = predictor.fork()
    for span, scored in zip(spans, found, strict=True):
        cut = clip.between(*span)
        alone.set_clip(cut)
        used = asked & alone.available
        if not used:
            assert scored is None
            continue
        expected = alone.predict(used)
        assert scored.used == used
        assert scored.score == pytest.approx(expected.score, abs=1e-4)
        assert scored.interval == pytest.approx(expected.interval, abs=1e-4)
        assert scored.contributions.keys() == expected.contributions.keys()
        for modality, values in scored.contributions.items():
            np.testing.assert_allclose(values, expected.contributions[modality], atol=1e-4)


def test_the_clip_that_is_set_is_left_alone(predictor):
    clip = Cuttable(audio=30, video=20, language=8)
    predictor.set_clip(clip)
    before = predictor.predict().score
    score_segments(predictor, clip, [(0.0, 1.0), (1.0, 2.0)], ["audio"])
    assert predictor.predict().score == before


def test_no_segment_none_and_wrong_ones(predictor):
    clip = Cuttable(audio=30, video=20, language=8)
    assert score_segments(predictor, clip, [], ["audio"]) == []
    assert score_segments(predictor, clip, [(100.0, 101.0)], ["audio"]) == [None]
    with pytest.raises(ValueError, match="spans"):
        score_segments(predictor, clip, [(2.0, 1.0)], ["audio"])
    clip.schema = SimpleNamespace(to_dict=lambda: {"version": 2})
    with pytest.raises(checkpoint.CheckpointError, match="a clip has version 2"):
        score_segments(predictor, clip, [(0.0, 1.0)], ["audio"])
