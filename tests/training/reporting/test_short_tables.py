"""Short tables pick their rows by rule, whatever the figures are."""

import pytest

from training.reporting import short_tables, tables


def _body(table):
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("name", tables.SHORT_TABLES)
def test_committed_results_fit_the_short_tables(name):
    assert _body(tables.named(name))


def test_each_test_set_is_shown_once_with_most_modalities():
    measured = {"acc2_non0": 0.5, "mae": 1.0, "corr": 0.25, "n": 9, "test_set": "composed"}
    rows = [{**measured, "modalities": letters} for letters in ("a", "avl", "av")]
    rows.append({"test_set": "faces", "modalities": "v", "n": 2, "balanced_accuracy": 0.75})
    assert _body(short_tables.checkpoint_table({"rows": rows})) == [
        ["composed", "audio + video + text", "9", "50.0", "1.000", "0.250"],
        ["faces", "video", "2", "75.0 (balanced)", "–", "–"],
    ]


def test_the_best_models_and_ours_are_ranked_by_the_average_over_rates():
    def rows(model, complete, *accuracies):
        settings = ["complete", *(f"random per sample, rate {rate}" for rate in ("0.3", "0.7"))]
        return [
            {"model": model, "setting": setting, "metric": {"acc2_non0": {"mean": value}}}
            for setting, value in zip(settings, (complete, *accuracies), strict=True)
        ]

    others = [row for place in range(7) for row in rows(f"model {place}", 0.5, 0.8 - place / 100, 0.7)]
    result = {"rows": [*rows("alignmamba", 0.99, 0.6, 0.5), *others], "seeds": [1, 2]}
    body = _body(short_tables.missing_table(result))
    assert [line[:2] for line in body] == [
        *([str(place + 1), f"model {place}"] for place in range(short_tables.BEST)),
        ["8", "alignmamba"],
    ]
    assert body[0][2:] == ["50.0", "80.0", "70.0", "75.0"]
    assert body[-1][2:] == ["99.0", "60.0", "50.0", "55.0"]
    assert "of 8 models" in short_tables.missing_table(result)


def test_lengths_that_not_all_models_reached_are_left_out():
    def row(model, tokens, **measured):
        return {"model": model, "tokens": tokens, "status": "ok", "peak_mb": 1.0, "gflop": 2.0, **measured}

    rows = [row("ours", 10, time_ms=1.0), row("other", 10, time_ms=2.0)]
    rows += [row("ours", 2000, time_ms=3000.0), row("other", 2000, status="out of memory", time_ms=None, gflop=None)]
    rows += [row("ours", 9000, time_ms=4.0)]
    rows += [row(name, 2000, time_ms=5.0) for name in ("other, stored weights", "alignmamba-2")]  # of the long table
    table = short_tables.fusion_table({"rows": rows})
    assert table.startswith("| model, 2,000 tokens ")
    assert _body(table) == [["ours", "3,000", "1", "2"], ["other", "out of memory", "1", "–"]]
