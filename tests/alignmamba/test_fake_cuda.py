"""Predictions on a GPU, pretended where there is none: no CPU tensor meets a CUDA one; the numbers are the CPU's."""

import copy
import logging

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves

import alignmamba.predictor
from alignmamba import checkpoint
from alignmamba.batch import collate
from alignmamba.modality import SUBSETS
from alignmamba.modeling import transport
from alignmamba.modeling.loss import loss
from alignmamba.modeling.model import AlignMamba
from alignmamba.modeling.transport import IndexPlan
from alignmamba.ops.device import default_device
from alignmamba.predictor import Predictor
from extractors.assets.device import default_device as device_of_extractors
from tests.alignmamba.clips import AUDIO, LANGUAGE, VIDEO, clip, config
from tests.alignmamba.fake_cuda import gpu
from tests.alignmamba.test_predictor import SCHEMA, Clip

pytestmark = pytest.mark.gpu_or_pretended
STEPS = {AUDIO: 20, VIDEO: 9, LANGUAGE: 4}


@pytest.fixture
def folder(tmp_path):
    checkpoint.save(tmp_path, AlignMamba(config()), schema=SCHEMA, training={"seed": 1111})
    return tmp_path


@pytest.mark.parametrize(
    "changes",
    [{}, {"local": "sinkhorn"}, {"local": "uniform"}, {"bandwidth": "median"}, {"absent": "embed"},
     {"bidirectional": True}, {"time_weight": 0.5}, {"scaling": "mean"}, {"gate": "missing"}],
    ids=str,
)  # fmt: skip
def test_model_forward_and_backward(changes, monkeypatch):
    for name in ("BLOCK_ENTRIES", "GPU_BLOCK_ENTRIES"):  # with a time term, the search within reach
        monkeypatch.setattr(transport, name, 32)
    model = AlignMamba(config(dropout=0.0, **changes))
    batch = collate([clip(**STEPS), clip(audio=7, valid_share=0.5), clip(video=3, language=2)])
    score, classes = torch.zeros(3), torch.zeros(3, dtype=torch.long)

    def run(model, device):
        moved = {modality: steps.to(device) for modality, steps in batch.items()}
        value = loss(model(moved), score.to(device), classes.to(device), model.config)
        value.backward()
        return value.item(), [None if each.grad is None else each.grad.cpu() for each in model.parameters()]

    value, gradients = run(copy.deepcopy(model), "cpu")
    with gpu():
        ours, found = run(model.to("cuda"), "cuda")
    assert ours == pytest.approx(value, rel=1e-4)
    for each, expected in zip(found, gradients, strict=True):
        assert (each is None) == (expected is None)
        if each is not None:
            torch.testing.assert_close(each, expected, rtol=1e-3, atol=1e-5)


def everything(predictor):
    """What a predictor answers, as plain numbers."""
    answers = [predictor.predict(subset) for subset in SUBSETS]
    plans = predictor.sinkhorn(blur=0.1)
    moved = predictor.transported()
    predictor.shapes()
    numbers = [(each.score, *each.classes.values(), *each.mmd.values()) for each in answers]
    return [*map(np.array, numbers), *(each.plan for each in plans.values()), *(pair[0] for pair in moved.values())]


def test_predictor(folder):
    predictor = Predictor.from_pretrained(folder, device="cpu")
    predictor.set_clip(Clip(**STEPS))
    expected = everything(predictor)
    with gpu():
        predictor = Predictor.from_pretrained(folder)
        predictor.set_clip(Clip(**STEPS))
        assert predictor.predict().backend.endswith(" on cuda")
        for ours, wanted in zip(everything(predictor), expected, strict=True):
            np.testing.assert_allclose(ours, wanted, atol=1e-4)


@pytest.mark.parametrize("fails", ["encode", "fuse"])
def test_out_of_memory_goes_on_on_the_cpu(folder, monkeypatch, caplog, fails):
    predictor = Predictor.from_pretrained(folder, device="cpu")
    predictor.set_clip(Clip(**STEPS))
    expected = predictor.predict().score
    owner = {"encode": type(predictor._trained.model.encoders), "fuse": AlignMamba}[fails]
    whole = getattr(owner, fails)

    def full(module, *arguments, **options):
        if next(module.parameters()).device.type == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return whole(module, *arguments, **options)

    with gpu(), caplog.at_level(logging.WARNING, logger="alignmamba.predictor"):
        shared = Predictor.from_pretrained(folder)
        monkeypatch.setattr(owner, fails, full)
        predictor = shared.fork()
        predictor.set_clip(Clip(**STEPS))
        prediction = predictor.predict()
        assert next(shared._trained.model.parameters()).device.type == "cuda"
    assert prediction.score == pytest.approx(expected, abs=1e-5)
    assert prediction.backend.endswith(" on cpu, as the GPU was out of memory")
    (record,) = (each for each in caplog.records if each.name == "alignmamba.predictor")
    assert "because the GPU is out of memory: CUDA out of memory" in record.message


@pytest.mark.parametrize("asked", ["sinkhorn", "transported", "shapes", "contributions"])
def test_whatever_is_asked_goes_on_on_the_cpu(folder, monkeypatch, caplog, asked):
    """Where the memory ends in the middle of it."""
    where = {
        "sinkhorn": (alignmamba.predictor, "sinkhorn_plan"),
        "transported": (IndexPlan, "transport"),
        "shapes": (IndexPlan, "dense"),
        "contributions": (torch.autograd, "grad"),
    }

    def ask(predictor):
        if asked == "contributions":
            return list(predictor.predict().contributions.values())
        answer = getattr(predictor, asked)()
        if asked == "sinkhorn":
            return [each.plan for each in answer.values()]
        return [pair[0] for pair in answer.values()] if asked == "transported" else list(answer.values())

    predictor = Predictor.from_pretrained(folder, device="cpu")
    predictor.set_clip(Clip(**STEPS))
    expected = ask(predictor)
    owner, name = where[asked]
    whole = getattr(owner, name)

    def full(*arguments, **options):
        tensors = [leaf for leaf in tree_leaves((arguments, options)) if isinstance(leaf, torch.Tensor)]
        if any(tensor.device.type == "cuda" for tensor in tensors):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return whole(*arguments, **options)

    with gpu(), caplog.at_level(logging.WARNING, logger="alignmamba.predictor"):
        predictor = Predictor.from_pretrained(folder)
        predictor.set_clip(Clip(**STEPS))
        monkeypatch.setattr(owner, name, full)
        answer = ask(predictor)
        assert predictor.predict().backend.endswith(" on cpu, as the GPU was out of memory")
    for ours, wanted in zip(answer, expected, strict=True):
        np.testing.assert_allclose(ours, wanted, atol=1e-4)
    assert [record.name for record in caplog.records].count("alignmamba.predictor") == 1


def test_the_kernels_are_warmed(folder, mamba_ssm):
    with gpu():
        predictor = Predictor.from_pretrained(folder)
        predictor.warm()
        assert predictor.available == frozenset()
        begun = len(mamba_ssm.dtypes)
        assert begun
        predictor.set_clip(Clip(**STEPS))
        predictor.predict()
    assert begun == 2 * (len(mamba_ssm.dtypes) - begun)  # of two lengths


def test_out_of_memory_of_the_cpu_is_an_error(folder, monkeypatch):
    predictor = Predictor.from_pretrained(folder, device="cpu")
    predictor.set_clip(Clip(**STEPS))

    def full(*_, **__):
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(AlignMamba, "fuse", full)
    with pytest.raises(torch.OutOfMemoryError):
        predictor.predict()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_device_is_the_gpu_unless_another_is_named(monkeypatch):
    monkeypatch.delenv("ALIGNMAMBA_DEVICE", raising=False)
    assert str(default_device()) == device_of_extractors(gpu=False) == "cpu"
    with gpu():
        assert str(default_device()) == device_of_extractors(gpu=True) == "cuda"
        for named in ("cpu", "cuda", "cuda:0"):
            monkeypatch.setenv("ALIGNMAMBA_DEVICE", named)
            assert str(default_device()) == device_of_extractors(gpu=True) == named


@pytest.mark.parametrize("named", ["gpu", "mps", "cuda:x", f"cuda:{torch.cuda.device_count()}"])
def test_a_device_that_is_not_there_is_named(monkeypatch, named):
    monkeypatch.setenv("ALIGNMAMBA_DEVICE", named)
    for asked in (default_device, lambda: device_of_extractors(gpu=False)):
        with pytest.raises(ValueError, match=f"ALIGNMAMBA_DEVICE: '{named}', expected"):
            asked()
