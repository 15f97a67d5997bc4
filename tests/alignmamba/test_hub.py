"""The hub's methods on a local folder: no network, safetensors only."""

import json
import socket
from pathlib import Path

import pytest
import torch
from huggingface_hub import PyTorchModelHubMixin

from alignmamba import checkpoint
from alignmamba.checkpoint import WEIGHTS, CheckpointError
from alignmamba.config import CONFIG, ENCODER_FOLDER
from alignmamba.hub import HubAlignMamba
from alignmamba.modeling.model import AlignMamba
from tests.alignmamba.clips import config, write_calibration

SCHEMA = {"version": 1, "audio": {"dim": 5, "columns": ["a"] * 5}}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "first"
    checkpoint.save(folder, AlignMamba(config()), schema=SCHEMA, training={"seed": 1111})
    write_calibration(folder)
    (folder / "README.md").write_text("Research only.\n")
    (folder / "encoder").mkdir()
    (folder / "encoder" / "config.json").write_text("{}")
    return folder


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refused(*_):
        raise AssertionError("a local folder must not ask the network")

    monkeypatch.setattr(socket.socket, "connect", refused)


def test_a_folder_comes_back_as_it_was(folder, tmp_path):
    model = HubAlignMamba.from_pretrained(folder)
    assert isinstance(model, PyTorchModelHubMixin) and not model.training
    copy = tmp_path / "second"
    model.save_pretrained(copy)
    again = HubAlignMamba.from_pretrained(str(copy), schema=SCHEMA)
    assert again.config == model.config == config()
    assert again.trained.schema == SCHEMA and again.trained.training == {"seed": 1111}
    assert again.trained.calibration is not None
    assert again.trained.calibration == checkpoint.load(folder).calibration
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    files = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert files == {path.relative_to(copy): path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    assert checkpoint.load(copy).model.config == config()  # and the library's own loader reads it


def test_saving_in_place_loses_nothing(folder):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    HubAlignMamba.from_pretrained(folder).save_pretrained(folder)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_changed_weights_travel_without_the_calibration(folder, tmp_path):
    model = HubAlignMamba.from_pretrained(folder)
    with torch.no_grad():
        model.heads.score.bias += 1
    model.save_pretrained(tmp_path / "second")
    assert HubAlignMamba.from_pretrained(tmp_path / "second").trained.calibration is None


def test_another_schema_is_refused_by_name(folder):
    other = {**SCHEMA, "audio": {"dim": 65, "columns": []}}
    with pytest.raises(CheckpointError, match="the clip's audio is dim=65, the checkpoint was trained on dim=5"):
        HubAlignMamba.from_pretrained(folder, schema=other)


def test_pickles_and_damage_are_refused(folder):
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="is missing"):
        HubAlignMamba.from_pretrained(folder)
    for damage in ("[]", "{", json.dumps({"format": 9})):
        (folder / CONFIG).write_text(damage)
        with pytest.raises(CheckpointError):
            HubAlignMamba.from_pretrained(folder)


def test_a_model_without_a_schema_is_not_saved(tmp_path):
    (tmp_path / CONFIG).write_text("kept")
    with pytest.raises(CheckpointError, match="knows no feature schema"):
        HubAlignMamba(config()).save_pretrained(tmp_path)
    assert (tmp_path / CONFIG).read_text() == "kept"


def test_a_shared_encoder_is_pushed_along(tmp_path):
    (tmp_path / "owner" / ENCODER_FOLDER).mkdir(parents=True)
    (tmp_path / "owner" / ENCODER_FOLDER / "config.json").write_text("{}")
    checkpoint.save(tmp_path / "sharing", AlignMamba(config()), schema=SCHEMA, encoder_of="owner")
    HubAlignMamba.from_pretrained(tmp_path / "sharing").save_pretrained(tmp_path / "elsewhere" / "whole")
    whole = checkpoint.load(tmp_path / "elsewhere" / "whole")
    assert whole.encoder == str(tmp_path / "elsewhere" / "whole" / ENCODER_FOLDER)
    assert (Path(whole.encoder) / "config.json").read_text() == "{}"
