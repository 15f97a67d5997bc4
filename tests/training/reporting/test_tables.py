"""What the documents say is what the result files say."""

import json
import re

import pytest

from training.reporting import checkpoint_tables, summary, tables
from training.reporting.markdown import table


@pytest.mark.parametrize("document", tables.DOCUMENTS, ids=lambda path: str(path.relative_to(tables.ROOT)))
def test_documents_show_the_committed_results(document):
    text = document.read_text(encoding="utf-8")
    assert tables.rendered(text) == text, "run `make tables`"


def test_results_of_experiments_and_of_the_checkpoint_stand_in_a_document():
    texts = [document.read_text(encoding="utf-8") for document in tables.DOCUMENTS]
    shown = {found["name"] for text in texts for found in tables.MARKED.finditer(text)}
    committed = {name for name, (path, _) in tables.TABLES.items() if path.exists()}
    assert {name for name in committed if tables.RESULTS not in tables.TABLES[name][0].parents} <= shown


@pytest.mark.parametrize("name", sorted(name for name, (path, _) in tables.TABLES.items() if path.exists()))
def test_every_row_of_a_result_reaches_its_table(name):
    path, _ = tables.TABLES[name]
    result = json.loads(path.read_text(encoding="utf-8"))
    for key in ("name", "command", "commit", "date", "device", "cpu_count", "versions", "data_sha256", "seeds", "rows"):
        assert key in result
    lines = [line for line in tables.named(name).splitlines() if line.startswith("|")]
    if name.endswith(("-missing", "-fixed", "-imbalanced", "-missmac", "-lnln")):  # a line per model
        assert len(lines) == 2 + len({row["model"] for row in result["rows"]})
    elif name == "soak":  # a line per kind of client; memory and what remains are sentences
        assert len(lines) == 2 + len([row for row in result["rows"] if "clients" in row])
    elif not name.startswith("scan") and not name.endswith("-ratios"):  # these have a line per comparison
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


def _cells(rendered, line=2):
    return [cell.strip() for cell in rendered.splitlines()[line].strip("|").split("|")]


def test_calibration_stands_beside_accuracy():
    row = {"test_set": "composed", "modalities": "al", "n": 9, "acc2_non0": 0.5, "acc2_has0": 0.25, "acc7": 0.1}
    row |= {"mae": 1.0, "corr": 0.5}
    assert _cells(tables.checkpoint_table({"rows": [row]}))[-2:] == ["–", "–"]
    row |= {"ece_before": 0.2, "ece": 0.05, "interval_coverage": 0.79, "interval_nominal": 0.8}
    rendered = tables.checkpoint_table({"rows": [row]})
    assert _cells(rendered)[1] == "audio + text" and _cells(rendered)[-2:] == ["20.0 → 5.0", "79.0"]
    assert "nominal 80.0" in rendered
    fitted = {"modalities": "v", "sentences": 229, "n": 1145, "temperature": 1.5, "below": 1.25, "above": 1.0}
    fitted |= {"coverage": 0.8, "ece_before": 0.2, "ece": 0.05}
    assert _cells(tables.calibration_table({"rows": [fitted]})) == [
        "video", "1145 of 229 sentences", "1.50", "20.0 → 5.0", "-1.25 / +1.00 (80.0 %)",
    ]  # fmt: skip


def test_maps_real_clips_and_recognised_words_have_their_rows():
    row = {"modality": "video", "variant": "trained", "distinct_words": 3.0, "words": 10.4, "entropy_share": 0.38}
    row |= {"near_share": 0.2, "nearest_share": 0.1, "clips_nearer_than_chance": 8, "clips": 19}
    cells = ["video", "trained", "3.0 of 10.4", "38.0", "20.0", "10.0", "8 of 19"]
    assert _cells(tables.maps_table({"rows": [row]})) == cells
    clips = {"question": "neutral", "n": 2, "right": 1, "per_clip": [{"score": -0.5}, {"score": 1.0}]}
    assert _cells(tables.realclips_table({"rows": [clips]})) == ["neutral", "2", "1 of 2", "-0.50 to +1.00"]
    row = {"source": "read", "n": 5, "word_error_rate": 0.04, "score_difference_mean": 0.1}
    row |= {"score_difference_max": 0.5, "sign_changed": 1}
    assert _cells(tables.recognised_table({"rows": [row]})) == ["read", "5", "4.0", "–", "–", "0.10 / 0.50", "1"]
    row |= {"acc2_non0_true": 0.9, "acc2_non0_recognised": 0.8, "mae_true": 0.6, "mae_recognised": 0.75}
    assert _cells(tables.recognised_table({"rows": [row]}))[3:5] == ["90.0 / 80.0", "0.600 / 0.750"]


def test_the_average_and_the_drop_over_missing_rates_are_those_of_the_rows():
    def row(rate, accuracy):
        metric = {key: {"mean": accuracy, "std": 0.0} for key in ("acc2_non0", "f1_non0")}
        return {"model": "ours", "setting": f"random per sample, rate {rate}", "metric": metric}

    complete = {**row(0.1, 0.99), "setting": "complete"}
    result = {"rows": [complete, row(0.1, 0.8), row(0.4, 0.7), row(0.7, 0.6)], "seeds": [1]}
    rendered = tables.experiment_tables.rates_table(result)
    assert _cells(rendered, line=0) == ["model", "10 %", "40 %", "70 %", "average", "drop"]
    assert _cells(rendered) == ["ours", "80.0 / 80.0", "70.0 / 70.0", "60.0 / 60.0", "70.0 / 70.0", "20.0 / 20.0"]


def test_columns_name_the_modalities_that_are_kept():
    metric = {"acc2_non0": {"mean": 0.5, "std": 0.125}}
    rows = [{"model": "ours", "setting": f"fixed: {kept}", "metric": metric} for kept in ("l v a", "l a", "v")]
    rendered = tables.experiment_tables.sets_table({"rows": rows, "seeds": [1]})
    assert _cells(rendered, line=0) == ["model", "audio + video + text", "audio + text", "video"]
    assert _cells(rendered) == ["ours", *["50.0 ± 12.5"] * 3]


def test_cells_stay_as_they_are_written():
    cells = ["1e5", "0.50", "10", "–"]
    assert _cells(table(["a", "b", "c", "d"], [cells])) == cells


def test_the_papers_numbers_stand_in_a_quotation():
    lines = tables.named("paper-complete-missing-ablation-distance").splitlines()
    assert all(line.startswith(">") for line in lines)
    assert any(re.fullmatch(r"> \| AlignMamba +\| 86\.9 / 86\.9 +\|", line) for line in lines)
    assert any("CVPR 2025" in line for line in lines)


def test_rows_of_one_modality_draws_seeds_and_unseen_people():
    voices = {"test_set": "voices", "modalities": "a", "n": 4, "balanced_accuracy": 0.75, "auc": 0.8}
    plain = {"test_set": "voices-neutral", "modalities": "a", "n": 2, "mean_score": -0.25, "within_share": 0.5}
    row = {"test_set": "composed", "modalities": "avl", "n": 9, "acc2_non0": 0.5, "acc2_has0": 0.25, "acc7": 0.1}
    row |= {"mae": 1.0, "corr": 0.5, "standard_error": {"mae": 0.01}, "draws": 10, "best_pair": "vl"}
    row |= {"mae_minus_best_pair": -0.01, "mae_minus_best_pair_standard_error": 0.004}
    rendered = tables.checkpoint_table({"rows": [voices, plain, row]})
    assert _cells(rendered)[3] == "75.0 (balanced), AUC 0.800"
    assert _cells(rendered, line=3)[3] == "mean score -0.25, 50.0 within ± 0.7"
    assert _cells(rendered, line=4)[6] == "1.000 ± 0.010"
    assert "best pair (video + text): MAE -0.0100 ± 0.0040" in " ".join(rendered.split())
    short = tables.short_tables.checkpoint_table({"rows": [voices, plain, row]})
    assert _cells(short)[3:] == ["75.0 (balanced), AUC 0.800", "–", "–"]

    metric = {"auc": {"mean": 0.75, "std": 0.05}, "balanced_accuracy": {"mean": 0.7, "std": 0.01}}
    seeds = {"seeds": [1, 2], "rows": [{"test_set": "voices", "modalities": "a", "metric": metric}]}
    rendered = checkpoint_tables.seeds_table(seeds)
    assert _cells(rendered) == ["voices", "audio", "–", "70.0 ± 1.0", "0.750 ± 0.050", "–", "–"]

    person = {"modalities": "av", "n": 16, "auc": 0.9, "balanced_accuracy": 0.8, "neutral_n": 8}
    person |= {"neutral_within_share": 0.75, "neutral_mean_score": 0.125, "ece_before": 0.2, "ece": 0.1}
    matching = {"modalities": "av", "n": 24, "near_seconds": 0.2, "near_share": {"content alone": 0.25, "chance": 0.2}}
    rendered = checkpoint_tables.unseen_people_table({"rows": [person, matching]})
    assert _cells(rendered) == ["audio + video", "16", "0.900", "80.0", "6 of 8", "+0.12", "20.0 → 10.0"]
    assert "content alone 25.0 %, chance 20.0 %" in _cells(rendered, line=3)[0]

    read = {"statistics": "std", "inner_auc": 0.9, "chosen_for": 3, "auc": 0.85, "balanced_accuracy": 0.8}
    whole = {"statistics": "std, chosen with everybody", "inner_auc": 0.91}
    rendered = checkpoint_tables.face_readouts_table({"rows": [read, whole]})
    assert _cells(rendered) == ["std", "0.900", "3", "0.850", "80.0"]
    assert _cells(rendered, line=3) == ["std, chosen with everybody", "0.910", "–", "–", "–"]

    voices = {"speakers": "two", "people": "test", "clips": 30, "error_rate": 0.125, "error_rate_p50": 0.05}
    voices |= {"right_count": 22, "too_few": 8, "too_many": 0, "cpu_s_per_clip_s": 0.034}
    rendered = checkpoint_tables.speakers_table({"rows": [voices]})
    assert _cells(rendered) == ["two", "test", "30", "12.5", "5.0", "22 of 30", "8", "0", "0.034"]

    words = {"people": "real, left out", "modalities": "av", "n": 168, "balanced_accuracy": 0.5, "chance": 0.25}
    words |= {"ece": 0.125, "recall": {"neutral": 0.75, "happy": 0.25}}
    rendered = checkpoint_tables.emotions_table({"rows": [words]})
    assert _cells(rendered)[:6] == ["real, left out", "audio + video", "168", "50.0", "25.0", "12.5"]
    assert _cells(rendered)[6] == "neutral 75.0, happy 25.0"


def test_the_ablation_shows_what_was_measured():
    def over(*values):
        return summary.over_seeds(values)

    seeds = [1, 2]
    row = {"setting": "as shipped", "validation_mae": over(0.9, 0.9)}
    row["metric"] = {"acc2_non0": over(0.5, 0.5), "mae": over(1.0, 2.0)}
    rendered = checkpoint_tables.variants_table({"rows": [row], "seeds": seeds})
    assert _cells(rendered)[2:] == ["–", "50.0 ± 0.0", "1.500 ± 0.500"]
    row["metric"]["video_auc"] = over(0.9, 0.9)
    rendered = checkpoint_tables.variants_table({"rows": [row], "seeds": seeds})
    assert _cells(rendered, line=0)[-1] == "unseen faces, AUC" and _cells(rendered)[-1] == "0.900 ± 0.000"
    other = {**row, "metric": {"acc2_non0": over(0.5, 0.5), "mae": over(1.5, 2.0)}}
    rendered = checkpoint_tables.variants_table({"rows": [row, other], "seeds": seeds})
    assert _cells(rendered, line=3)[2] == "0.250 ± 0.250", "seed by seed"
    assert _cells(rendered, line=3)[-1] == "–", "what does not apply to a setting"
