"""Settings are compared without the test part."""

import json
import sys

import pytest

from tests.training.data import mmsa_files
from tests.training.experiments.test_experiments import SETTINGS
from training.data import datasets
from training.data.benchmark import Benchmark
from training.experiments import choose


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mmsa_files.write(tmp_path / "aligned_50.pkl", mmsa_files.stored(aligned=True))
    return datasets.read("mmsa", tmp_path / "aligned_50.pkl")


def test_folds_hold_each_known_example_once_and_no_test_example(dataset):
    known = {example.id for part in ("train", "valid") for example in dataset.splits[part]}
    held = []
    for fold in range(3):
        dealt = choose.refolded(dataset, fold, folds=3)
        ids = {part: {example.id for example in dealt.splits[part]} for part in dealt.splits}
        assert ids["train"] | ids["valid"] == known
        assert not ids["train"] & ids["valid"]
        assert dealt.splits["test"] == dataset.splits["test"]
        held += ids["valid"]
    assert sorted(held) == sorted(known)


def test_candidates_are_ordered_by_their_error_and_the_test_part_is_not_read(dataset, tmp_path, monkeypatch):
    (tmp_path / "small.yaml").write_text(SETTINGS)
    (tmp_path / "candidates.yaml").write_text("as it is:\nwider: {model: {width: 12}}\n")
    measured, scores = set(), Benchmark.scores

    def noted(benchmark, model, examples):
        measured.update(example.id for example in examples)
        return scores(benchmark, model, examples)

    monkeypatch.setattr(Benchmark, "scores", noted)
    monkeypatch.setattr(choose, "FOLDS", 2)
    arguments = ["--settings", "small.yaml", "--candidates", "candidates.yaml", "--data", "aligned_50.pkl"]
    monkeypatch.setattr(sys, "argv", ["choose", *arguments, "--results", "results"])
    choose.main()
    rows = json.loads((tmp_path / "results" / "small" / "choice.json").read_text())["rows"]
    assert {row["setting"] for row in rows} == {"as it is", "wider"}
    assert measured == {example.id for part in ("train", "valid") for example in dataset.splits[part]}
    errors = [row["metric"][choose.OVER_RATES]["mean"] for row in rows]
    assert errors == sorted(errors)


def test_a_candidate_is_measured_on_clips_that_the_settings_corrupt_not_the_candidate(dataset, monkeypatch):
    monkeypatch.setattr(choose, "FOLDS", 2)
    monkeypatch.setattr(choose, "fit", lambda *_: None)  # weights stay as the seed made them
    model = {"width": 8, "encoder_layers": 0, "fusion_layers": 1, "state_dim": 4, "classes": 0}
    settings = choose.Settings(dataset="mmsa", model=model, robustness={"mix": {"language": 2.0}})
    changed = {"robustness": {"mix": {"language": 0.1}, "missing_rate": 0.0}}
    as_it_is, other = (choose.measure(dataset, "alignmamba", settings, change) for change in ({}, changed))
    assert other == as_it_is


def test_an_unknown_part_is_named(dataset):
    settings = choose.Settings(dataset="mmsa")
    with pytest.raises(ValueError, match=r"change: \['modell'\], expected some of"):
        choose.measure(dataset, "alignmamba", settings, {"modell": {}})
