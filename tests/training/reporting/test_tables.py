"""What the documents say is what the result files say."""

import json

import pytest

from training.reporting import tables


@pytest.mark.parametrize("document", tables.DOCUMENTS, ids=lambda path: path.parent.name)
def test_documents_show_the_committed_results(document):
    text = document.read_text(encoding="utf-8")
    assert tables.MARKED.search(text)
    assert tables.rendered(text) == text, "run `make tables`"


@pytest.mark.parametrize("name", sorted(name for name, (path, _) in tables.TABLES.items() if path.exists()))
def test_every_row_of_a_result_reaches_its_table(name):
    path, _ = tables.TABLES[name]
    result = json.loads(path.read_text(encoding="utf-8"))
    for key in ("name", "command", "commit", "date", "device", "cpu_count", "versions", "data_sha256", "seeds", "rows"):
        assert key in result
    lines = [line for line in tables.named(name).splitlines() if line.startswith("|")]
    if name.endswith(("-missing", "-fixed")):  # a line per model
        assert len(lines) == 2 + len({row["model"] for row in result["rows"]})
    elif not name.startswith("scan"):
        assert len(lines) == 2 + len(result["rows"])


def test_a_changed_figure_makes_a_document_stale():
    text = "<!-- table:checkpoint -->\nold\n<!-- /table -->\n"
    fresh = tables.rendered(text)
    assert fresh != text
    assert tables.rendered(fresh) == fresh


def test_unknown_tables_are_named():
    with pytest.raises(ValueError, match="table: 'guess', expected one of"):
        tables.named("guess")


def test_a_missing_result_says_so(monkeypatch):
    monkeypatch.setitem(tables.TABLES, "maps", (tables.CHECKPOINT / "nowhere.json", tables.maps_table))
    assert tables.named("maps") == "*not measured yet: `checkpoints/alignmamba-open/nowhere.json` is not there.*\n"


def _cells(table):
    return [cell.strip() for cell in table.splitlines()[2].strip("|").split("|")]


def test_how_sure_it_is_stands_beside_how_right():
    row = {"test_set": "composed", "modalities": "al", "n": 9, "acc2_non0": 0.5, "acc2_has0": 0.25, "acc7": 0.1}
    row |= {"mae": 1.0, "corr": 0.5}
    assert _cells(tables.checkpoint_table({"rows": [row]}))[-2:] == ["–", "–"]
    row |= {"ece_before": 0.2, "ece": 0.05, "interval_coverage": 0.79, "interval_nominal": 0.8}
    table = tables.checkpoint_table({"rows": [row]})
    assert _cells(table)[1] == "voice + words" and _cells(table)[-2:] == ["20.0 → 5.0", "79.0"]
    assert "nominal 80.0" in table
    fitted = {"modalities": "v", "sentences": 229, "n": 1145, "temperature": 1.5, "below": 1.25, "above": 1.0}
    fitted |= {"coverage": 0.8, "ece_before": 0.2, "ece": 0.05}
    assert _cells(tables.calibration_table({"rows": [fitted]})) == [
        "face", "1145 of 229 sentences", "1.50", "20.0 → 5.0", "-1.25 / +1.00 (80.0 %)",
    ]  # fmt: skip


def test_maps_real_clips_and_recognised_words_have_their_rows():
    row = {"modality": "video", "variant": "trained", "distinct_words": 3.0, "words": 10.4, "entropy_share": 0.38}
    row |= {"near_share": 0.2, "nearest_share": 0.1, "clips_nearer_than_chance": 8, "clips": 19}
    cells = ["face", "trained", "3.0 of 10.4", "38.0", "20.0", "10.0", "8 of 19"]
    assert _cells(tables.maps_table({"rows": [row]})) == cells
    clips = {"question": "neutral", "n": 2, "right": 1, "per_clip": [{"score": -0.5}, {"score": 1.0}]}
    assert _cells(tables.realclips_table({"rows": [clips]})) == ["neutral", "2", "1 of 2", "-0.50 to +1.00"]
    heard = {"source": "read", "n": 5, "word_error_rate": 0.04, "score_difference_mean": 0.1}
    heard |= {"score_difference_max": 0.5, "sign_changed": 1}
    assert _cells(tables.recognised_table({"rows": [heard]})) == ["read", "5", "4.0", "–", "–", "0.10 / 0.50", "1"]
    heard |= {"acc2_non0_true": 0.9, "acc2_non0_recognised": 0.8, "mae_true": 0.6, "mae_recognised": 0.75}
    assert _cells(tables.recognised_table({"rows": [heard]}))[3:5] == ["90.0 / 80.0", "0.600 / 0.750"]


def test_the_average_and_the_drop_over_missing_rates_are_those_of_the_rows():
    def row(rate, accuracy):
        metric = {key: {"mean": accuracy, "std": 0.0} for key in ("acc2_non0", "f1_non0")}
        return {"model": "ours", "setting": f"random per sample, rate {rate}", "metric": metric}

    complete = {**row(0.1, 0.99), "setting": "complete"}
    result = {"rows": [complete, row(0.1, 0.8), row(0.4, 0.7), row(0.7, 0.6)], "seeds": [1]}
    header, _, line = tables.experiment_tables.rates_table(result).splitlines()[:3]
    assert header == "| model | 10 % | 40 % | 70 % | average | drop |"
    assert line == "| ours | 80.0 / 80.0 | 70.0 / 70.0 | 60.0 / 60.0 | 70.0 / 70.0 | 20.0 / 20.0 |"


def test_the_papers_numbers_stand_in_a_quotation():
    lines = tables.named("paper-complete-missing-ablation-distance").splitlines()
    assert all(line.startswith(">") for line in lines)
    assert "> | AlignMamba | 86.9 / 86.9 |" in lines
    assert any("CVPR 2025" in line for line in lines)
