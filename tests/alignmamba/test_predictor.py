"""Checkpoints and predictions of one clip."""

import json
import os
import resource
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import alignmamba.predictor
from alignmamba import calibration, checkpoint
from alignmamba.config import CONFIG, ENCODER_FOLDER
from alignmamba.evaluation.missing import keep_modalities, score
from alignmamba.hub import HubAlignMamba
from alignmamba.modality import SUBSETS
from alignmamba.modeling.model import AlignMamba
from alignmamba.ops.selective_scan import backend_name
from alignmamba.prediction import CLASSES
from alignmamba.predictor import Predictor
from extractors.language import text_encoder
from tests.alignmamba.clips import AUDIO, DIMS, LANGUAGE, VIDEO, config

SCHEMA = {"version": 1, "audio": {"dim": 5}}


class Clip:
    """The least that a predictor reads."""

    schema = SimpleNamespace(to_dict=lambda: SCHEMA)

    def __init__(self, absent=(), seed=0, **steps):
        rng = np.random.default_rng(seed)
        self._modalities = {}
        for modality, dim in DIMS.items():
            count = steps.get(modality, 0)
            valid = rng.random(count) < 0.7
            valid[:1] = True
            values = (rng.normal(size=(count, dim)) * valid[:, None]).astype(np.float32)
            self._modalities[modality] = SimpleNamespace(
                values=values,
                valid=valid & (modality not in absent),
                start=np.arange(count) / 10,
                end=np.arange(1, count + 1) / 10,
                absent="not there" if modality in absent else None,
            )

    def modality(self, name):
        return self._modalities[name]


@pytest.fixture
def folder(tmp_path):
    checkpoint.save(tmp_path, AlignMamba(config()), schema=SCHEMA, training={"seed": 1111})
    return tmp_path


@pytest.fixture
def predictor(folder):
    return Predictor.from_pretrained(folder, device="cpu")


def test_a_checkpoint_comes_back_as_it_was(folder):
    torch.manual_seed(1111)
    first = AlignMamba(config())
    loaded = checkpoint.load(folder)
    assert loaded.schema == SCHEMA
    assert loaded.training == {"seed": 1111}
    assert loaded.model.config == config()
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, loaded.model.state_dict()[name])


def test_the_encoder_that_ships_with_a_checkpoint_is_told(folder, predictor):
    assert predictor.encoder == text_encoder.ENCODER  # the extractors' own
    (folder / ENCODER_FOLDER).mkdir()
    assert Predictor.from_pretrained(folder, device="cpu").encoder == str(folder / "encoder")


@pytest.fixture
def sharing(tmp_path):
    """A checkpoint that shares the encoder of `owner` beside it."""
    checkpoint.save(tmp_path / "sharing", AlignMamba(config()), schema=SCHEMA, encoder_of="owner")
    return tmp_path / "sharing"


def test_an_encoder_can_be_shared_by_checkpoints_side_by_side(sharing):
    (sharing.parent / "owner" / ENCODER_FOLDER).mkdir(parents=True)
    assert checkpoint.load(sharing).encoder == str(sharing.parent / "owner" / "encoder")


def test_a_shared_encoder_that_is_missing_is_no_reason_to_take_another(sharing):
    with pytest.raises(checkpoint.CheckpointError, match="shares the text encoder of owner, which is missing"):
        checkpoint.load(sharing)


@pytest.mark.parametrize("name", ["../owner", "..", ".", "", "/etc", "a/b", 5, "a\\b"])
def test_a_shared_encoder_lies_beside_the_checkpoint_only(sharing, name):
    content = json.loads((sharing / CONFIG).read_text())
    (sharing / CONFIG).write_text(json.dumps({**content, "encoder_of": name}))
    with pytest.raises(checkpoint.CheckpointError, match="expected the name of a folder"):
        checkpoint.load(sharing)


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("width", 20_000),
        ("width", 4_096),
        ("width", "5"),
        ("fusion_layers", 10**9),
        ("encoder_layers", 10**9),
        ("audio_dim", 10**12),
        ("expand", 10**6),
        ("blur", float("nan")),
        ("time_weight", float("inf")),
        ("order", 5),
    ],
)
def test_a_config_takes_no_memory_before_it_fits_the_weights(folder, setting, value):
    content = json.loads((folder / CONFIG).read_text())
    content["model"][setting] = value
    (folder / CONFIG).write_text(json.dumps(content))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(checkpoint.CheckpointError, match="do not fit"):
        checkpoint.load(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


@pytest.mark.parametrize("name", [checkpoint.WEIGHTS, CONFIG, calibration.CALIBRATION])
@pytest.mark.parametrize("what", ["folder", "pipe", "deep", "large", "number"])
def test_whatever_stands_in_a_files_place_is_one_kind_of_error(folder, name, what, monkeypatch):
    path = folder / name
    path.unlink(missing_ok=True)
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)  # to open it would wait for a writer
    elif what == "large":
        with path.open("wb") as file:
            file.truncate(10_000_000_000)  # takes no room on the disk
    else:
        path.write_text({"deep": DEEP, "number": "5"}[what])
    with pytest.raises(checkpoint.CheckpointError):
        checkpoint.load(folder)
    with pytest.raises(checkpoint.CheckpointError):
        HubAlignMamba.from_pretrained(folder)


@pytest.mark.parametrize("value", [None, [], "text"])
@pytest.mark.parametrize("key", ["schema", "training", "model"])
def test_parts_of_another_kind_are_refused(folder, key, value):
    content = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**content, key: value}))
    with pytest.raises(checkpoint.CheckpointError):
        checkpoint.load(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(folder, value):
    model = AlignMamba(config())
    torch.nn.init.constant_(next(model.parameters()), value)
    checkpoint.save(folder, model, schema=SCHEMA)
    with pytest.raises(checkpoint.CheckpointError, match="NaN or infinity"):
        checkpoint.load(folder)


@pytest.mark.parametrize("name", [checkpoint.WEIGHTS, CONFIG])
def test_damaged_and_missing_files_are_named(folder, name):
    (folder / name).write_bytes(b"\x00\xff nonsense")
    with pytest.raises(checkpoint.CheckpointError, match="is damaged"):
        checkpoint.load(folder)
    (folder / name).unlink()
    with pytest.raises(checkpoint.CheckpointError, match="is missing"):
        checkpoint.load(folder)


def test_a_config_that_does_not_fit_the_weights_is_refused(folder):
    content = json.loads((folder / CONFIG).read_text())
    for change in ({"width": 16}, {"width": "eight"}, {"wings": 2}):
        changed = {**content, "model": {**content["model"], **change}}
        (folder / CONFIG).write_text(json.dumps(changed))
        with pytest.raises(checkpoint.CheckpointError, match="do not fit"):
            checkpoint.load(folder)
    (folder / CONFIG).write_text(json.dumps({**content, "format": 9}))
    with pytest.raises(checkpoint.CheckpointError, match="format 9"):
        checkpoint.load(folder)


def test_every_subset_gives_a_whole_prediction(predictor):
    steps = {AUDIO: 12, VIDEO: 9, LANGUAGE: 5}
    clip = Clip(**steps)
    predictor.set_clip(clip)
    for subset in SUBSETS:
        found = predictor.predict(subset)
        assert -3 <= found.score <= 3
        assert tuple(found.classes) == CLASSES
        assert sum(found.classes.values()) == pytest.approx(1)
        assert found.used == subset
        assert found.backend == f"{backend_name('cpu')} on cpu"
        assert set(found.contributions) == subset
        assert set(found.alignments) == set(found.mmd) == subset - {found.anchor}
        running, anchor_valid = found.running_scores, clip.modality(found.anchor).valid
        assert (np.isfinite(running) == anchor_valid).all()
        assert running[anchor_valid][-1] == pytest.approx(found.score, abs=1e-5)
        for name, alignment in found.alignments.items():
            valid, target_valid = clip.modality(name).valid, clip.modality(found.anchor).valid
            assert alignment.plan.shape == alignment.cost.shape == (steps[name], steps[found.anchor])
            np.testing.assert_allclose(alignment.plan.sum(1), valid / valid.sum(), atol=1e-6)
            assert (np.isfinite(alignment.cost) == np.outer(valid, target_valid)).all()
            chosen = np.where(valid, alignment.plan.argmax(1), -1)
            best = [
                np.nanargmin(row) if row_valid else -1 for row, row_valid in zip(alignment.cost, valid, strict=True)
            ]
            assert chosen.tolist() == best


def test_contributions_are_the_directional_derivative(predictor):
    predictor.set_clip(Clip(**{AUDIO: 6, LANGUAGE: 4}, absent=(VIDEO,)))
    found = predictor.predict()
    streams, step = predictor._streams, 1e-3
    plans = predictor._trained.model.fuse(streams).plans

    def score(scale):
        scaled = {m: s._replace(x=s.x * scale if m == AUDIO else s.x) for m, s in streams.items()}
        output = predictor._trained.model.fuse(scaled)
        assert torch.equal(output.plans[AUDIO].chosen, plans[AUDIO].chosen)
        return output.score.item()

    slope = (score(1 + step) - score(1 - step)) / (2 * step)
    assert found.contributions["audio"].sum() == pytest.approx(slope, rel=1e-2, abs=1e-4)


def test_sinkhorn_plans_keep_both_marginals(predictor):
    clip = Clip(**{AUDIO: 12, VIDEO: 9, LANGUAGE: 5})
    predictor.set_clip(clip)
    relaxed = predictor.predict().alignments
    for name, found in predictor.sinkhorn(blur=0.05).items():
        valid, target_valid = clip.modality(name).valid, clip.modality("language").valid
        np.testing.assert_allclose(found.plan.sum(1), valid / valid.sum(), atol=1e-4)
        np.testing.assert_allclose(found.plan.sum(0), target_valid / target_valid.sum(), atol=1e-4)
        np.testing.assert_array_equal(found.cost, relaxed[name].cost)
        cost = np.nan_to_num(found.cost)
        assert (found.plan * cost).sum() >= (relaxed[name].plan * cost).sum() - 1e-5  # one constraint less costs less
    assert set(predictor.sinkhorn({"audio", "video"})) == {"audio"}
    with pytest.raises(ValueError, match="blur: 0"):
        predictor.sinkhorn(blur=0.0)


def test_sinkhorn_of_a_long_clip_is_refused(predictor, monkeypatch):
    predictor.set_clip(Clip(**{AUDIO: 12, LANGUAGE: 5}, absent=(VIDEO,)))
    pairs = int(predictor._streams[AUDIO].mask.sum() * predictor._streams[LANGUAGE].mask.sum())
    monkeypatch.setattr(alignmamba.predictor, "SINKHORN_PAIRS", pairs)
    assert set(predictor.sinkhorn()) == {"audio"}
    monkeypatch.setattr(alignmamba.predictor, "SINKHORN_PAIRS", pairs - 1)
    with pytest.raises(ValueError, match=f"audio: {pairs} pairs of steps, expected at most {pairs - 1}"):
        predictor.sinkhorn()


def test_forks_hold_different_clips_on_the_same_weights(predictor):
    other = predictor.fork()
    predictor.set_clip(Clip(**{AUDIO: 6, VIDEO: 6, LANGUAGE: 4}))
    other.set_clip(Clip(**{AUDIO: 3}, absent=(VIDEO, LANGUAGE), seed=5))
    assert predictor.available == {AUDIO, VIDEO, LANGUAGE}
    assert other.available == {AUDIO}
    assert predictor.predict().score != other.predict().score


def test_a_clip_that_cannot_be_encoded_leaves_the_one_before(predictor):
    predictor.set_clip(Clip(**{AUDIO: 6, LANGUAGE: 4}, absent=(VIDEO,)))
    before = predictor.predict().score
    broken = Clip(**{VIDEO: 9, LANGUAGE: 5}, absent=(AUDIO,))
    broken.modality("video").values = broken.modality("video").values[:, 1:]
    with pytest.raises((RuntimeError, ValueError, TypeError)):
        predictor.set_clip(broken)
    assert predictor.available == {AUDIO, LANGUAGE}
    assert predictor.predict().score == before


def test_questions_that_cannot_be_answered(predictor):
    with pytest.raises(ValueError, match="clip: none set"):
        predictor.predict()
    predictor.set_clip(Clip(**{AUDIO: 3}, absent=(VIDEO, LANGUAGE)))
    with pytest.raises(ValueError, match=r"modalities: \['video'\] absent, the clip has \['audio'\]"):
        predictor.predict(["audio", "video"])
    with pytest.raises(ValueError, match=r"modalities: unknown \['smell'\]"):
        predictor.predict(["smell"])
    with pytest.raises(ValueError, match="modalities: none given"):
        predictor.predict([])


@pytest.mark.parametrize(("ours", "theirs"), [(1, 2), (2, 1)])
def test_another_schema_version_is_named_before_anything_else(ours, theirs):
    made = {"version": ours, "audio": {"dim": 50}}
    with pytest.raises(checkpoint.CheckpointError, match=f"version {ours}, .* version {theirs}; extract"):
        checkpoint.check_schema(made, {"version": theirs, "audio": {"dim": 823}}, whose="the clip")


def test_another_schema_is_refused_by_name(predictor):
    clip = Clip(**{AUDIO: 3})
    clip.schema = SimpleNamespace(to_dict=lambda: {**SCHEMA, "audio": {"dim": 65}})
    with pytest.raises(checkpoint.CheckpointError, match="audio is dim=65, the checkpoint was trained on dim=5"):
        predictor.set_clip(clip)


def test_the_shapes_are_those_of_the_tensors(predictor):
    clip = Clip(audio=9, video=6, language=4)
    predictor.set_clip(clip)
    found = predictor.shapes()
    valid = {name: int(clip.modality(name).valid.sum()) for name in ("audio", "video", "language")}
    width = predictor.config.width
    assert found["features audio"] == (9, DIMS[AUDIO])
    assert found["encoded audio"] == (valid["audio"], width)
    assert found["plan audio"] == (valid["audio"], valid["language"])
    assert found["transported video"] == (valid["language"], width)
    assert found["fused"] == (3 * valid["language"], width)
    assert found["classes"] == (len(CLASSES),)
    assert "plan language" not in found
    alone = predictor.shapes({"audio"})
    assert set(alone) == {"features audio", "encoded audio", "fused", "classes"}
    assert alone["fused"] == (valid["audio"], width)


def test_a_part_of_a_clip_is_judged_like_a_clip_that_never_had_more(predictor):
    clip = Clip(audio=9, video=6, language=4)
    predictor.set_clip(clip)
    whole = predictor.predict().score
    assert score(predictor, clip, set(SUBSETS[0])) == pytest.approx(whole)
    part = keep_modalities(clip, {AUDIO, LANGUAGE})
    assert score(predictor, part, set(SUBSETS[0])) == pytest.approx(predictor.predict({AUDIO, LANGUAGE}).score)
    assert predictor.predict().score == pytest.approx(whole), "the clip that was set is left alone"
    with pytest.raises(ValueError, match="modalities"):
        score(predictor, part, {VIDEO})
