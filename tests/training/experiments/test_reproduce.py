"""The slides' tables and figures from a file of MMSA's format, with one command."""

import json
import re

import pytest

from tests.training.data import mmsa_files
from tests.training.experiments.test_experiments import SETTINGS
from training.reproduce import __main__ as reproduce
from training.reproduce import plan, report


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduce")
    mmsa_files.write(folder / "aligned_50.pkl", mmsa_files.stored(aligned=True))
    (folder / "small.yaml").write_text(SETTINGS.replace("bc-lstm, language-only", "dcca"))
    return folder


def run(world, monkeypatch, *more, corpus="mosi"):
    monkeypatch.chdir(world)
    options = ["--data", "aligned_50.pkl", "--settings", "small.yaml", "--seeds", "1", "--no-efficiency"]
    reproduce.main([corpus, *options, *more])


def test_one_command_makes_both_tables_and_a_report(world, monkeypatch, capsys):
    run(world, monkeypatch, "--estimate")
    said = capsys.readouterr().out
    assert re.search(r"alignmamba: 1 runs of at most \d+ s", said) and "estimated: at most" in said
    folder = world / "runs" / "reproduce" / "mosi-aligned"
    assert not folder.exists(), "an estimate trains and writes nothing"
    run(world, monkeypatch)
    html = (folder / "report.html").read_text(encoding="utf-8")
    for name in ("missing", "ablation"):
        result = json.loads((folder / f"{name}.json").read_text())
        assert all(row["clips"] == 6 for row in result["rows"])
    # The paper's cells stand beside ours, in cells of their own kind.
    assert '<td class="paper">85.7 / 85.6</td>' in html or '<td class="paper first-of-paper">85.7 / 85.6</td>' in html
    assert re.search(r"<td>without local alignment</td>.*?84\.6", html, re.DOTALL)
    for figure in ("Table 1", "Table 3", "Figures 3 and 4 in the paper"):
        assert figure in html
    assert "<script" not in html and html.count("<svg") == 2
    assert not re.search(r'(src|href)="http', html), "nothing is fetched"

    def never(*_, **__):
        raise AssertionError("trained again")

    capsys.readouterr()
    monkeypatch.setattr("training.trainer._epoch", never)
    run(world, monkeypatch)
    assert "alignmamba: 0 runs" in capsys.readouterr().out


def test_a_file_of_another_corpus_is_a_sentence(world, monkeypatch):
    with pytest.raises(SystemExit, match=r"aligned_50\.pkl holds mosi-aligned, expected CMU-MOSEI"):
        run(world, monkeypatch, corpus="mosei")
    with pytest.raises(SystemExit, match=r"seeds: \[1\] given twice"):
        run(world, monkeypatch, "--seeds", "1", "1")


def test_every_row_of_the_papers_tables_has_one_of_ours():
    ours = {"alignmamba", "dcca", "dccae", "mctn", "mmin", "gcnet", "imder"}
    for dataset in ("mosi", "mosei"):
        assert ours <= report.paper_rows("missing", dataset).keys()
        assert set(plan.registry.ABLATION) == report.paper_rows("ablation", dataset).keys()
        assert len(report.paper_rows("missing", dataset)["gcnet"]) >= 7


# The median bandwidth: beside audio of noise, with words of 768 columns, the fixed one finds only a part of the pairs.
PLANTED = """
dataset: mmsa
model: {width: 32, encoder_layers: 0, fusion_layers: 2, dropout: 0.0, scaling: mean, bandwidth: median, classes: 0}
train: {epochs: 16, batch_size: 64, learning_rate: 3.0e-3, patience: 16, plateau: 3}
robustness: {missing_rate: 0.0}
models: [alignmamba]
"""


@pytest.mark.training
def test_rows_of_the_ablation_differ_where_only_local_alignment_can_win(tmp_path, monkeypatch):
    mmsa_files.write(tmp_path / "aligned_50.pkl", mmsa_files.planted(count=4000))
    (tmp_path / "small.yaml").write_text(PLANTED)
    run(tmp_path, monkeypatch)
    rows = json.loads((tmp_path / "runs/reproduce/mosi-aligned/ablation.json").read_text())["rows"]
    accuracy = {row["model"]: row["metric"]["acc2_non0"]["mean"] for row in rows}
    assert accuracy["alignmamba"] > 0.95 and accuracy["without audio"] > 0.95
    for name in (
        "without local alignment",
        "without global alignment",
        "without both",
        "without video",
        "without language",
    ):
        assert accuracy[name] < 0.65, name
        row = next(row for row in rows if row["model"] == name)
        assert row["against"]["acc2_non0"]["significant"] and row["against"]["acc2_non0"]["high"] < -0.2
