"""The page Results: it shows the numbers of the result files, and the paper's numbers apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from alignmamba.modality import SUBSETS, Modality, letters
from app.charts import curves
from app.services import model, results
from tests.paths import APP


def written(path: Path, rows: list[dict], **more) -> Path:
    content = {
        "command": "python -m made.up",
        "date": "2026-01-02T03:04:05",
        "device": "chip",
        "cpu_count": 2,
        "seeds": [1, 2],
        "rows": rows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**content, **more}), encoding="utf-8")
    return path


def measured(mean: float, std: float = 0.01) -> dict:
    """As `training.experiments.summary` writes it; a Pearson of a constant is null."""
    return {
        "acc2_non0": {"mean": mean, "std": std, "per_seed": [mean - std, mean + std]},
        "corr": {"mean": None, "std": None, "per_seed": [None, None]},
    }


ROWS = [
    {"model": "alignmamba", "setting": "complete", "reached_rate": 0.0, "metric": measured(0.8)},
    {"model": "alignmamba", "setting": "random per sample, rate 0.7", "reached_rate": 2 / 3, "metric": measured(0.6)},
    {"model": "mult", "setting": "random per sample of l a, rate 0.1", "reached_rate": 0.1, "metric": measured(0.7)},
    {"model": "mult", "setting": "fixed: l v", "reached_rate": 1 / 3, "metric": measured(0.5)},
]
PREDICTIONS = [
    {"id": "video_1", "truth": 2.0, "score": {letters(subset): 1.5 for subset in SUBSETS}},
    {"id": "video_2", "truth": -1.0, "score": {letters(subset): 0.5 for subset in SUBSETS}},
    {"id": "other_1", "truth": 0.0, "score": {letters(subset): 0.5 for subset in SUBSETS}},
    {"id": "other_2", "truth": 1.0, "score": {"avl": 0.0}},
]


def test_curves_read_the_rates_that_experiments_write(tmp_path):
    record = results.read(written(tmp_path / "mosi" / "missing.json", ROWS))
    table = results.rate_curves(record)
    assert table[["model", "rate"]].to_numpy().tolist() == [["alignmamba", 0.0], ["alignmamba", 0.7], ["mult", 0.1]]
    assert table["mean"].tolist() == pytest.approx([80, 60, 70])
    assert table["low"].iloc[0] == pytest.approx(79)
    spec = curves.rate_curves(table, y_title="y", x_title="x").to_dict()
    assert len(spec["layer"]) == 3
    shown = results.metric_table(record)
    assert shown["Acc-2 Non0 %"].tolist() == ["80.0 ± 1.0", "60.0 ± 1.0", "70.0 ± 1.0", "50.0 ± 1.0"]
    assert shown["Pearson r"].tolist() == ["–"] * 4


def test_datasets_and_tables_keep_their_order(tmp_path):
    for name in ("ablation", "complete", "zebra", "missing"):
        written(tmp_path / "mosi" / f"{name}.json", ROWS)
    written(tmp_path / "mmmo" / "within.json", ROWS)
    found = results.experiments(tmp_path)
    assert list(found) == ["mmmo", "mosi"]
    assert list(found["mosi"]) == ["complete", "missing", "ablation", "zebra"]


@pytest.mark.parametrize("content", ["", "[]", '{"rows": 3}', "\\"])
def test_a_file_of_another_shape_is_named(tmp_path, content):
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(results.RecordError, match=r"bad\.json: is no result file"):
        results.read(path)
    with pytest.raises(results.RecordError, match=r"gone\.json: is not there"):
        results.read(tmp_path / "gone.json")


def test_every_committed_result_file_can_be_shown():
    paths = [path for tables in results.experiments().values() for path in tables.values()]
    assert paths
    for path in paths:
        record = results.read(path)
        assert len(results.metric_table(record)) == len(record.rows)
    for path in results.BENCHMARKS.rglob("fusion-*.json"):
        assert curves.cost_curves(results.efficiency(results.read(path)), "time_ms", y_title="ms").to_dict()


def test_every_committed_table_has_a_title_on_screen():
    shown = {table for tables in results.experiments().values() for table in tables}
    assert shown <= set(results.TITLES)


def test_predictions_are_right_by_sign(tmp_path):
    record = results.read(written(tmp_path / "predictions.json", PREDICTIONS))
    table = results.predictions_table(record, "avl")
    assert table["right"].tolist() == [True, False, None, False], (
        "a truth of 0 has no sign; a score of 0 is not positive"
    )
    assert table["error"].tolist() == [-0.5, 1.5, 0.5, -1.0]
    assert len(results.predictions_table(record, "l")) == 3


def test_a_checkpoint_has_a_metric_for_every_subset():
    found = results.by_subset(results.read(model.CHECKPOINT / "metrics.json"), "acc2_non0")
    assert set(found) == set(SUBSETS)
    assert found[frozenset({Modality.LANGUAGE})] < found[frozenset({Modality.LANGUAGE, Modality.VIDEO})]


def test_the_papers_numbers_are_the_papers():
    """Spot checks against its tables; and the averages that it prints follow from the rows."""
    missing = [row for row in results.paper("missing", dataset="mosi") if row["model"] == "AlignMamba"]
    assert [row["missing_percent"] for row in missing] == [10, 20, 30, 40, 50, 60, 70]
    assert sum(row["accuracy_percent"] for row in missing) / 7 == pytest.approx(79.9, abs=0.05)
    assert sum(row["f1_percent"] for row in missing) / 7 == pytest.approx(79.6, abs=0.05)
    mosei = [row for row in results.paper("missing", dataset="mosei") if row["model"] == "IMDer"]
    assert sum(row["accuracy_percent"] for row in mosei) / 7 == pytest.approx(80.3, abs=0.06)
    assert len(results.paper("missing")) == 7 * 7 * 2
    (ours,) = [row for row in results.paper("complete", dataset="mosei") if row["model"] == "AlignMamba"]
    assert (ours["accuracy_percent"], ours["f1_percent"]) == (86.6, 86.5)
    assert len(results.paper("ablation", dataset="mosi")) == 9


def test_the_page_shows_files_and_the_paper_apart_and_lists_predictions(tmp_path, monkeypatch):
    written(tmp_path / "results" / "mosi-utterance" / "missing.json", ROWS)
    written(tmp_path / "checkpoint" / "predictions.json", PREDICTIONS[:3])
    metrics = (model.CHECKPOINT / "metrics.json").read_text(encoding="utf-8")
    (tmp_path / "checkpoint" / "metrics.json").write_text(metrics, encoding="utf-8")
    found = results.experiments(tmp_path / "results")
    monkeypatch.setattr(results, "experiments", lambda: found)
    monkeypatch.setattr(model, "CHECKPOINT", tmp_path / "checkpoint")
    page = AppTest.from_file(str(APP / "app_pages" / "results.py"), default_timeout=120).run()
    assert not page.exception
    assert not page.error
    assert not page.info
    tables = [frame.value for frame in page.dataframe]
    rows = len(json.loads(metrics)["rows"])
    assert any("Acc-7 %" in table and len(table) == rows for table in tables), "the checkpoint"
    paper = next(table for table in tables if "AlignMamba" in table)
    assert paper["AlignMamba"].iloc[0] == "85.7 / 85.6"
    assert sum("not ours" in badge.value for badge in page.markdown) == 2, "one for the table, one for the efficiency"
    assert len(tables[-1]) == 3
    wrong = page.get("segmented_control")[-1].set_value("wrong").run()
    assert wrong.dataframe[-1].value["Clip"].tolist() == ["video_2"]
    none = page.text_input(key="predictions-id").set_value("[").run()
    assert "No clip fits" in none.info[0].value
    assert not none.exception


def test_costs_are_shown_for_one_batch_at_a_time(tmp_path, monkeypatch):
    def row(batch, **more):
        return {
            "model": "alignmamba",
            "batch": batch,
            "tokens": 150,
            "time_ms": 1.0,
            "peak_mb": 1.0,
            "gflop": 1.0,
            **more,
        }

    rows = [row(1, status="ok"), row(16, status="ok"), row(16, status="out of memory", tokens=12_288, time_ms=None)]
    written(tmp_path / "fusion-cpu.json", rows)
    monkeypatch.setattr(results, "BENCHMARKS", tmp_path)
    monkeypatch.setattr(results, "experiments", dict)
    monkeypatch.setattr(model, "CHECKPOINT", tmp_path)
    page = AppTest.from_file(str(APP / "app_pages" / "results.py"), default_timeout=120).run()
    assert not page.exception
    assert not any("out of memory" in caption.value for caption in page.caption)
    (batch,) = (control for control in page.get("segmented_control") if control.label == "Clips at once")
    page = batch.set_value(16).run()
    assert not page.exception
    assert any("12,288: out of memory" in caption.value for caption in page.caption)


def test_missing_files_are_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(model, "CHECKPOINT", tmp_path)
    monkeypatch.setattr(results, "experiments", dict)
    page = AppTest.from_file(str(APP / "app_pages" / "results.py"), default_timeout=120).run()
    assert not page.exception
    text = " ".join(info.value for info in page.info)
    assert all(part in text for part in ("Not measured yet", "No tables are there", "No predictions are there"))
