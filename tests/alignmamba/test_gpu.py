"""On a real GPU: every backend agrees with the reference, and the model with the CPU. `make test-gpu` runs these."""

import copy

import numpy as np
import pytest
import torch
from torch import distributed
from torch.profiler import ProfilerActivity, profile

from alignmamba.batch import collate
from alignmamba.modality import SUBSETS
from alignmamba.modeling import transport
from alignmamba.modeling.mamba import Mamba
from alignmamba.modeling.model import AlignMamba
from alignmamba.ops.selective_scan import BackendError, backend_name, choose_backend
from alignmamba.predictor import Predictor
from extractors.storage import feature_files
from tests.alignmamba.clips import clip, config
from tests.alignmamba.ops.scans import TOLERANCE, assert_close, double, make_inputs, run
from tests.paths import ROOT
from tests.training.test_fake_cuda import OnGpu
from tests.training.test_trainer import model as small_model
from training.trainer import TrainConfig, fit

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")]
DEVICES = [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cuda:0"]


def on(device, inputs):
    return {name: tensor.detach().to(device).requires_grad_() for name, tensor in inputs.items()}


def force(monkeypatch, backend, device="cuda"):
    """Lets a backend run, or skips where it cannot."""
    monkeypatch.setenv("ALIGNMAMBA_SCAN", backend)
    try:
        choose_backend(device)
    except BackendError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16, torch.float16), ids=str)
@pytest.mark.parametrize("backend", ["cuda", "triton", "torch"])
def test_scan(monkeypatch, backend, dtype, reverse, device):
    force(monkeypatch, backend, device)
    inputs = make_inputs(2, 133, 40, 16, dtype)
    if backend == "cuda":  # takes no state
        inputs["state"] = torch.zeros_like(inputs["state"])
        wanted = run(monkeypatch, "reference", double(inputs), reverse=reverse)
        del inputs["state"], wanted["state"]
    else:
        wanted = run(monkeypatch, "reference", double(inputs), reverse=reverse)
    ours = run(monkeypatch, backend, on(device, inputs), reverse=reverse)
    assert_close({name: tensor.cpu() for name, tensor in ours.items()}, wanted, 4 * TOLERANCE[dtype])


@pytest.mark.parametrize("precision", [None, torch.bfloat16], ids=str)
@pytest.mark.parametrize("local", ["relaxed", "sinkhorn"])
def test_model(local, precision):
    model = AlignMamba(config(local=local)).eval()
    batch = collate([clip(audio=1500, video=300, language=40), clip(audio=20)])
    expected = model(batch).score
    moved = {modality: steps.to("cuda") for modality, steps in batch.items()}
    with torch.no_grad(), torch.autocast("cuda", precision, enabled=precision is not None):
        score = copy.deepcopy(model).to("cuda")(moved).score
    tolerance = 1e-3 if precision is None else 0.1
    torch.testing.assert_close(score.float().cpu(), expected, rtol=tolerance, atol=tolerance)


def test_plan_does_not_depend_on_autocast():
    x, y = torch.randn(2, 400, 64, device="cuda"), torch.randn(2, 90, 64, device="cuda")
    masks = [torch.ones(tensor.shape[:2], dtype=torch.bool, device="cuda") for tensor in (x, y)]
    plan = transport.relaxed_plan(x, y, *masks)
    with torch.autocast("cuda", torch.bfloat16):
        assert torch.equal(transport.relaxed_plan(x, y, *masks).chosen, plan.chosen)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("backend, kernel", [("cuda", "selective_scan_fwd_kernel"), ("triton", "forward_kernel")])
def test_the_backend_that_is_shown_is_the_one_that_runs(monkeypatch, backend, kernel, training):
    """What is launched on the GPU, as CUDA itself saw it."""
    force(monkeypatch, backend)
    block, x = Mamba(32).to("cuda"), torch.randn(2, 50, 32, device="cuda")
    with torch.set_grad_enabled(training):
        block(x)  # compiles
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], acc_events=True) as seen:
            block(x)
            torch.cuda.synchronize()
    launched = [event.key for event in seen.key_averages()]
    scans = [name for name in launched if "forward_kernel" in name or "selective_scan" in name]
    assert any(kernel in name for name in scans), launched
    assert backend_name("cuda").startswith(f"{backend} (")
    others = {"cuda": "forward_kernel", "triton": "selective_scan"}[backend]
    assert not any(others in name for name in scans)


def test_the_checkpoint_predicts_as_on_the_cpu():
    """Every sample with every set of modalities: scores, maps and contributions."""
    folder = ROOT / "checkpoints" / "alignmamba-open"
    predictors = [Predictor.from_pretrained(folder, device=device) for device in ("cpu", "cuda")]
    compared = 0
    for path in sorted((ROOT / "app" / "samples").glob("*.safetensors")):
        features = feature_files.load(path)
        for predictor in predictors:
            predictor.set_clip(features)
        for subset in SUBSETS:
            if not subset <= predictors[0].available:
                continue
            expected, found = (predictor.predict(subset) for predictor in predictors)
            assert found.score == pytest.approx(expected.score, abs=1e-4)
            for modality, values in expected.contributions.items():
                np.testing.assert_allclose(found.contributions[modality], values, atol=1e-4)
            compared += 1
        plans, wanted = predictors[1].sinkhorn(blur=0.1), predictors[0].sinkhorn(blur=0.1)
        for pair, plan in wanted.items():
            np.testing.assert_allclose(plans[pair].plan, plan.plan, atol=1e-5)
    assert compared


def test_training_in_a_group_of_nccl_is_training_alone(tmp_path):
    """A group of one: what would refuse CPU tensors is the real one."""
    config = TrainConfig(epochs=2, batch_size=8, learning_rate=1e-2)
    alone = fit(small_model().to("cuda"), OnGpu(), config)
    store = distributed.FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group("nccl", store=store, rank=0, world_size=1)
    try:
        together = fit(small_model().to("cuda"), OnGpu(), config)
    finally:
        distributed.destroy_process_group()
    for ours, expected in zip(together.history, alone.history, strict=True):
        assert ours["loss"] == pytest.approx(expected["loss"], rel=1e-4)
