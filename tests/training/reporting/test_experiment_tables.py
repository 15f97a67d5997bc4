"""Tables of experiments say what was tested, what was missing, and what is more than chance."""

import pytest

from training.reporting import experiment_tables, figures, tables


def row(model, *, difference=None, significant=False, rate=0.0, **changes):
    spread = {"mean": 0.8, "std": 0.01, "per_seed": [0.79, 0.81], "low": 0.75, "high": 0.85}
    metric = {key: spread for key in ("acc2_has0", "acc2_non0", "f1_non0", "acc7", "mae", "corr")}
    made = {"model": model, "setting": "complete", "n": 400, "clips": 400, "reached_rate": rate, "left_out": 0.0}
    made |= {"fallback_score": None, "metric": metric, **changes}
    if difference is not None:
        found = {
            "difference": difference,
            "low": -1.0,
            "high": 1.0,
            "p": 0.01,
            "p_holm": 0.02,
            "significant": significant,
        }
        made["against"] = {"model": "alignmamba", "acc2_non0": found, "mae": found}
    return made


def result(*rows):
    return {"rows": [row("alignmamba"), *rows], "seeds": [1, 2]}


def test_only_differences_beyond_chance_are_marked():
    better = row("gcnet", difference=0.02, significant=True)
    lucky = row("dcca", difference=0.05)
    text = experiment_tables.metrics_table(result(better, lucky))
    line = {each.split("|")[1].strip(): each for each in text.splitlines() if each.startswith("|")}
    assert line["gcnet"].count("\u2191") == 1, "a higher accuracy is better"
    assert line["gcnet"].count("\u2193") == 1, "a higher error is worse"
    assert not {"\u2191", "\u2193"} & set(line["dcca"] + line["alignmamba"])
    assert "Holm" in text and "400 clips, every one of them scored" in text


def test_the_true_missing_rate_and_the_fallback_are_stated():
    lost = row("without language", rate=0.34, left_out=34.0, fallback_score=0.25)
    text = experiment_tables.metrics_table(result(lost))
    assert "Really missing: complete: 0.0 %, complete, without language: 34.0 %." in text
    assert "Up to 34 clips had nothing left; they get the mean training score (0.25)." in text


def test_an_older_file_says_what_it_was_made_before():
    old = {key: value for key, value in row("gcnet").items() if key not in ("n", "clips")}
    assert experiment_tables.OLDER in experiment_tables.metrics_table({"rows": [old], "seeds": [1]})


def test_figures_in_the_documents_are_those_of_the_results():
    drawings = tables.drawings()
    assert {path.name for path in drawings} >= {"fusion-cpu.svg", "fusion-cuda.svg", "mmmo-complete.svg"}
    for path, drawn in drawings.items():
        assert path.read_text(encoding="utf-8") == drawn, f"{path.name}: run `make tables`"


def test_a_figure_shows_every_model_with_its_interval():
    found, title = figures.dots(result(row("gcnet")))
    assert [dot.name for dot in found] == ["alignmamba", "gcnet"] and "bootstrap" in title
    assert found[0] == ("alignmamba", 80.0, 75.0, 85.0)
    svg = figures.svg(result(row("<b>gcnet")))
    assert "&lt;b&gt;gcnet" in svg and "<b>" not in svg


def test_a_figure_of_several_protocols_is_their_mean_where_something_is_missing():
    def measured(value):
        return {"acc2_non0": {"mean": value, "std": 0.0, "per_seed": [value - 0.01, value + 0.01]}}

    patterns = [("fixed: l v a", 0.0, 0.9), ("fixed: l a", 1 / 3, 0.8), ("fixed: a", 2 / 3, 0.6)]
    rows = [row("alignmamba", rate=rate, setting=name, metric=measured(value)) for name, rate, value in patterns]
    found, title = figures.dots({"rows": rows})
    assert found == [("alignmamba", pytest.approx(70), pytest.approx(69), pytest.approx(71))]
    assert "all patterns with something missing" in title
    rates = [("complete", 0.0, 0.9), ("random, rate 0.1", 0.1, 0.8), ("random, rate 0.5", 0.5, 0.7)]
    rows = [row("gcnet", rate=rate, setting=name, metric=measured(value)) for name, rate, value in rates]
    found, title = figures.dots({"rows": rows})
    assert found[0][:2] == ("gcnet", pytest.approx(75)) and "the missing rates" in title


def test_a_figure_of_candidates_has_the_lowest_error_first():
    error = {"mean": 1.0, "std": 0.1}
    rows = [row("alignmamba", setting=name, metric={"mae_over_rates": error}) for name in ("as chosen", "wider")]
    rows[1]["metric"] = {"mae_over_rates": {"mean": 0.9, "std": 0.2}}
    found, title = figures.dots({"rows": rows})
    assert found == [("as chosen", 1.0, 0.9, 1.1), ("wider", 0.9, pytest.approx(0.7), 1.1)] and title.startswith("MAE")
    svg = figures.svg({"rows": rows})
    assert svg.index(">wider<") < svg.index(">as chosen<")


def test_what_all_protocols_of_a_table_begin_with_is_said_once():
    names = [f"MissMAC-Bench, no missing prior in training; {each}" for each in ("fixed: l v a", "fixed: a")]
    rendered = experiment_tables.settings_table({**result(), "rows": [row("gcnet", setting=name) for name in names]})
    assert rendered.splitlines()[0].split() == "| model | fixed: l v a | fixed: a |".split()
    assert "begin with: MissMAC-Bench, no missing prior in training." in rendered
    alone = experiment_tables.settings_table({**result(), "rows": [row("gcnet", setting="imbalanced: l 0.8")]})
    assert "begin with" not in alone
