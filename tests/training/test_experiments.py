"""Every table, end to end, on a made-up file of MMSA's format."""

import json
import os
import subprocess
import sys

import pytest

from tests.training.data import mmsa_files
from training import experiments
from training.baselines import registry
from training.reporting import result_files

SETTINGS = """
dataset: mmsa
model: {width: 8, encoder_layers: 0, fusion_layers: 1, state_dim: 4, dropout: 0.0, scaling: mean, classes: 0}
train: {epochs: 1, batch_size: 8}
robustness: {missing_rate: 0.5, complete_share: 0.5}
models: [alignmamba, bc-lstm, language-only]
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiments")
    mmsa_files.write(folder / "aligned_50.pkl", mmsa_files.stored(aligned=True))
    (folder / "small.yaml").write_text(SETTINGS)
    return folder


def table(world, monkeypatch, name, *, data="aligned_50.pkl", settings="small.yaml"):
    monkeypatch.chdir(world)  # converted files and runs go under it
    experiments.main(
        [name, "--settings", settings, "--data", data, "--seeds", "1", "2", "--results", str(world / "results")]
    )
    return json.loads((world / "results" / "small" / f"{name}.json").read_text())


@pytest.mark.parametrize("name", sorted(experiments.TABLES))
def test_table(world, monkeypatch, name):
    result = table(world, monkeypatch, name)
    assert result["seeds"] == [1, 2] and result["data_sha256"]
    models = {row["model"] for row in result["rows"]}
    expected = {
        "ablation": set(registry.ABLATION),
        "distance": {"alignmamba", *registry.ABLATIONS},
    }
    assert models == expected.get(name, {"alignmamba", "bc-lstm", "language-only"})
    settings = {row["setting"] for row in result["rows"]}
    assert len(settings) == {"missing": 8, "fixed": 7, "within": 6}.get(name, 1)
    for row in result["rows"]:
        for measured in row["metric"].values():
            assert len(measured["per_seed"]) == 2


def test_runs_are_not_trained_twice(world, monkeypatch):
    first = table(world, monkeypatch, "complete")

    def never(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr("training.trainer._epoch", never)
    assert table(world, monkeypatch, "complete")["rows"] == first["rows"]


def test_bad_input_is_a_sentence_and_writes_nothing(world, monkeypatch):
    (world / "bad.yaml").write_text(SETTINGS + "model_width: 3\n")
    (world / "hostile.pkl").write_bytes(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.")
    for arguments, message in (
        ({"settings": "bad.yaml"}, r"unknown settings \['model_width'\]"),
        ({"data": "hostile.pkl"}, r"os[ .]system"),
        ({"data": "nowhere.pkl"}, "there is no nowhere.pkl"),
    ):
        with pytest.raises(SystemExit, match=message):
            table(world, monkeypatch, "within", **arguments)
    assert not (world / "results" / "bad").exists()


def test_torchrun_makes_the_table_that_one_process_makes(world, monkeypatch):
    (world / "alone.yaml").write_text(SETTINGS.replace("[alignmamba, bc-lstm, language-only]", "[alignmamba]"))
    monkeypatch.chdir(world)
    table = ["complete", "--settings", "alone.yaml", "--data", "aligned_50.pkl", "--seeds", "1"]
    experiments.main([*table, "--runs", "runs/one", "--results", "one", "--tensorboard"])
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--rdzv-backend=c10d",
         "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1",
         "-m", "training.experiments", *table, "--runs", "runs/two", "--results", "two"],
        env={**os.environ, "PYTHONPATH": str(result_files.ROOT), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
        check=True, timeout=300,
    )  # fmt: skip
    one, two = (json.loads((world / name / "alone" / "complete.json").read_text())["rows"] for name in ("one", "two"))
    assert two[0]["metric"]["mae"]["mean"] == pytest.approx(one[0]["metric"]["mae"]["mean"], abs=1e-4)
    assert list((world / "runs" / "one").rglob("events.out.tfevents.*")), "curves for TensorBoard"
    assert not list((world / "runs" / "two").rglob("events.out.tfevents.*"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("per_model: {alignmamba: {model: {widht: 3}}}", r"model config: unknown settings \['widht'\]"),
        ("per_model: {alignmamba: {model: {audio_dim: 3}}}", r"model config: \['audio_dim'\], expected only"),
        ("per_model: {alignmamba: {train: {epochs: many}}}", "train config: epochs: 'many', expected int"),
        ("folds: several", "folds: 'several', expected int"),
        ("options: {cahce: x}", r"mmsa: unknown options \['cahce'\], expected some of \['cache', 'text'\]"),
    ],
)
def test_wrong_settings_are_a_sentence(world, monkeypatch, line, message):
    (world / "wrong.yaml").write_text(f"{SETTINGS}{line}\n")
    with pytest.raises(SystemExit, match=message):
        table(world, monkeypatch, "complete", settings="wrong.yaml")
