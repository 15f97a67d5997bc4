"""Every table, end to end, on a made-up file of MMSA's format."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.training.data import mmsa_files
from training.baselines import registry
from training.experiments import __main__ as experiments
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
    expected_settings = {"missing": 8, "fixed": 7, "within": 6, "imbalanced": 7, "lnln": 10, "missmac": 14}
    assert len(settings) == expected_settings.get(name, 1)
    tested = len(mmsa_files.stored(aligned=True)["test"]["id"])
    for row in result["rows"]:
        assert row["clips"] == tested, "every test clip is scored"
        for measured in row["metric"].values():
            assert len(measured["per_seed"]) == 2
        if name == "distance":
            continue
        assert row["n"] == tested and 0 <= row["reached_rate"] < 1
        assert (row["fallback_score"] is None) == (row["left_out"] == 0)
        if row["model"] != "alignmamba":
            found = row["against"]["mae"]
            assert found["low"] <= found["difference"] <= found["high"] and found["p"] <= found["p_holm"] <= 1
    if name == "missmac":
        assert all(setting.startswith("MissMAC-Bench, no missing prior in training; ") for setting in settings)


def test_runs_are_not_trained_twice(world, monkeypatch):
    first = table(world, monkeypatch, "complete")

    def never(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr("training.trainer._epoch", never)
    assert table(world, monkeypatch, "complete")["rows"] == first["rows"]


def test_other_data_or_options_are_not_taken_for_the_models_that_are_kept(world, monkeypatch):
    """A changed label, or another way of reading the file, used to get the models of the first file."""
    before = table(world, monkeypatch, "complete")
    kept = {path.name for path in (world / "runs" / "benchmarks").rglob("*-1-*")}
    turned = mmsa_files.stored(aligned=True)
    turned["train"]["regression_labels"] = -turned["train"]["regression_labels"]
    (world / "turned").mkdir()
    mmsa_files.write(world / "turned" / "aligned_50.pkl", turned)
    with pytest.raises(SystemExit, match=r"complete\.json: was made from other data"):
        table(world, monkeypatch, "complete", data="turned/aligned_50.pkl")
    assert json.loads((world / "results" / "small" / "complete.json").read_text()) == before, "nothing is overwritten"
    monkeypatch.chdir(world)
    arguments = ["--settings", "small.yaml", "--data", "turned/aligned_50.pkl", "--seeds", "1", "2"]
    experiments.main(["complete", *arguments, "--results", "turned"])
    after = json.loads((world / "turned" / "small" / "complete.json").read_text())
    assert after["rows"][0]["metric"]["mae"] != before["rows"][0]["metric"]["mae"]
    assert kept < {path.name for path in (world / "runs" / "benchmarks").rglob("*-1-*")}


def test_masks_are_files_that_are_read_again(world, monkeypatch):
    first = table(world, monkeypatch, "missing")
    files = sorted((world / "runs" / "masks").rglob("*.safetensors"))
    assert "random-per-sample-rate-0.3-1.safetensors" in {path.name for path in files}
    times = [path.stat().st_mtime_ns for path in files]
    again = table(world, monkeypatch, "missing")
    assert [path.stat().st_mtime_ns for path in files] == times
    assert [row["masks_sha256"] for row in again["rows"]] == [row["masks_sha256"] for row in first["rows"]]
    fewer = mmsa_files.stored(aligned=True)
    fewer["test"]["regression_labels"] = -fewer["test"]["regression_labels"]
    (world / "fewer").mkdir()
    mmsa_files.write(world / "fewer" / "aligned_50.pkl", fewer)
    arguments = ["--settings", "small.yaml", "--data", "fewer/aligned_50.pkl", "--seeds", "1", "--results", "fewer"]
    with pytest.raises(SystemExit, match="masks of test_set"):
        experiments.main(["missing", *arguments])


def test_folds_have_masks_of_their_own(tmp_path, monkeypatch):
    """A fold's test clips are others than those that the next seed masks by the same number."""
    rng = np.random.default_rng(0)
    videos = np.repeat([f"v{number}" for number in range(60)], 3)
    arrays = {"video": videos, "seg": np.tile([1, 2, 3], 60), "label": rng.normal(size=180).astype(np.float32)}
    arrays["bclstm_split"] = np.where(videos == "v0", "test", "train")
    np.savez(
        tmp_path / "x.npz", **arrays, **{f"x_{kind}": rng.normal(size=(180, 3)) for kind in ("text", "audio", "video")}
    )
    settings = SETTINGS.replace("mmsa", "mosi-utterance\nfolds: 4").replace(
        "[alignmamba, bc-lstm, language-only]", "[ridge]"
    )
    (tmp_path / "small.yaml").write_text(settings)
    result = table(tmp_path, monkeypatch, "missing", data="x.npz")
    assert {row["clips"] for row in result["rows"]} == {59}, "each training video once, no test video"
    drawn = [row["masks_sha256"] for row in result["rows"] if "rate" in row["setting"]]
    assert all(len(set(" ".join(hashes).split())) == 8 for hashes in drawn), "two seeds of four folds"
    assert table(tmp_path, monkeypatch, "missing", data="x.npz")["rows"] == result["rows"], "masks are read again"


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


def test_seeds_given_twice_or_a_foreign_result_file_are_refused(world, monkeypatch):
    monkeypatch.chdir(world)
    arguments = ["within", "--settings", "small.yaml", "--data", "aligned_50.pkl"]
    with pytest.raises(SystemExit, match=r"seeds: \[7\] given twice, expected each once"):
        experiments.main([*arguments, "--seeds", "7", "7"])
    (world / "old" / "small").mkdir(parents=True)
    (world / "old" / "small" / "within.json").write_text('{"rows": []}')
    with pytest.raises(SystemExit, match="is no result file of this version"):
        experiments.main([*arguments, "--results", "old"])
    assert (world / "old" / "small" / "within.json").read_text() == '{"rows": []}'


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
