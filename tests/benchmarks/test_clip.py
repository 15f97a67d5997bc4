"""The benchmark of a clip measures what the app does: the features that its checkpoint was trained on."""

from __future__ import annotations

from alignmamba.modality import SUBSETS
from alignmamba.predictor import Predictor
from benchmarks import clip


def test_an_extraction_and_the_toggles_of_a_clip_are_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(clip, "WARM_RUNS", 1)
    monkeypatch.setattr(clip, "TOGGLE_ROUNDS", 2)
    made, spoken = tmp_path / "clip.mp4", clip.transcript_of(clip.SAMPLE)
    clip.make_clip(made, seconds=2.0)
    measured = clip.extract_here(made, transcript=spoken, start="warm")
    assert measured["total_s"] >= max(measured["steps_s"].values()) > 0 and measured["peak_mb"] > 100
    times = clip.toggle_times(Predictor.from_pretrained(device="cpu"), made, transcript=spoken)
    assert len(times) == 2 * len(SUBSETS) and min(times) > 0
