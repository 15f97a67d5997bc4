"""The benchmark of the plan search compares what it says."""

import json

import pytest
import torch

from alignmamba.modeling import transport
from benchmarks import plan


def test_rows_stand_for_both_searches(tmp_path, monkeypatch):
    monkeypatch.setattr(transport, "BLOCK_ENTRIES", 256)
    monkeypatch.setattr("sys.argv", ["plan", "--steps", "150", "--rounds", "1", "--folder", str(tmp_path)])
    plan.main()
    (file,) = tmp_path.glob("plan-*.json")
    rows = json.loads(file.read_text())["rows"]
    assert [(row["search"], row["tokens"]) for row in rows] == [("within reach", 450), ("all targets", 450)]
    assert all(row["cpu_s"] >= 0 and row["same_plan"] for row in rows)


def test_what_is_bounded_looks_at_fewer_targets(monkeypatch):
    monkeypatch.setattr(transport, "BLOCK_ENTRIES", 256)
    seen, blocks = [], transport._blocks

    def noted(*arguments):
        found = list(blocks(*arguments))
        seen.append(sum((rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in found))
        return found

    monkeypatch.setattr(transport, "_blocks", noted)
    source, target = torch.randn(2, 1, 600, plan.WIDTH)
    first, *_ = plan.search(source, target, bounded=True)
    second, *_ = plan.search(source, target, bounded=False)
    assert seen[0] < seen[1] / 2 and seen[1] == 600 * 600
    assert torch.equal(first.chosen, second.chosen)


def test_another_plan_is_an_error(monkeypatch):
    monkeypatch.setattr(transport, "BLOCK_ENTRIES", 256)
    wrong = torch.zeros(150, dtype=torch.long).numpy()
    monkeypatch.setattr(transport, "_reach", lambda *_, **__: (wrong, wrong + 1))
    with pytest.raises(ArithmeticError, match="150 steps: the bounded search has found another plan"):
        plan.measure(150, rounds=1)
