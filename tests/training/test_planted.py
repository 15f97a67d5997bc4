"""The command that measures local alignment where the answer is known, on a small set."""

import json
import sys

import pytest

from training import planted
from training.trainer import TrainConfig


@pytest.mark.parametrize("table", sorted(planted.TABLES))
def test_every_variant_is_measured(tmp_path, monkeypatch, table):
    monkeypatch.setattr(planted, "CLIPS", 40)
    monkeypatch.setattr(planted, "TRAIN", TrainConfig(epochs=1, batch_size=8))
    monkeypatch.setattr(sys, "argv", ["planted", table, "--seeds", "1", "2", "--results", str(tmp_path)])
    planted.main()
    rows = json.loads((tmp_path / "planted" / f"{table}.json").read_text())["rows"]
    assert {row["setting"] for row in rows} == set(planted.TABLES[table])
    for row in rows:
        assert ("pairs_found" in row["metric"]) == (row["model"] in ("alignmamba", "without local alignment"))
        assert len(row["metric"]["acc2_non0"]["per_seed"]) == 2


@pytest.mark.training
def test_the_default_solves_it_without_a_lambda_set_by_hand():
    found = planted.measure(planted.TABLES["schedule"]["alignmamba, alignment first"], 1112)
    assert found["acc2_non0"] > 0.95 and found["pairs_found"] > 0.95
