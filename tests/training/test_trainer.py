"""The trainer: what it fits, how it goes on after a kill, and that two processes do what one does."""

import json
import multiprocessing
import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed, nn

from alignmamba.batch import ModalitySteps, collate
from alignmamba.config import ModelConfig
from alignmamba.modality import Modality
from alignmamba.modeling.loss import loss
from alignmamba.modeling.model import AlignMamba
from training import run_state, trainer
from training.trainer import Labelled, TrainConfig, fit, run_folder

CONFIG = ModelConfig(audio_dim=3, video_dim=3, language_dim=3, width=8, state_dim=4, fusion_layers=1, dropout=0.0)


class Made:
    """Clips of words whose mean is their score."""

    digest = "made"

    def __init__(self, *, fails_after=None):
        rng = np.random.default_rng(0)
        self.clips = []
        for _ in range(24):
            score = rng.uniform(-2, 2)
            values = torch.tensor(score + rng.normal(0, 0.1, (int(rng.integers(2, 6)), 3)), dtype=torch.float32)
            mask = torch.ones(len(values), dtype=torch.bool)
            self.clips.append((ModalitySteps(values, mask, torch.arange(len(values), dtype=torch.float32)), score))
        self.epochs, self.fails_after = 0, fails_after

    def batches(self, size, rng):
        self.epochs += 1
        if self.fails_after is not None and self.epochs > self.fails_after:
            raise KeyboardInterrupt
        order = rng.permutation(len(self.clips))
        return [[self.clips[index] for index in order[first : first + size]] for first in range(0, len(order), size)]

    def collate(self, items):
        score = torch.tensor([score for _, score in items], dtype=torch.float32)
        return Labelled(collate([{Modality.LANGUAGE: clip} for clip, _ in items]), score, torch.ones(len(items)).long())

    def validate(self, model):
        with torch.inference_mode():
            part = self.collate(self.clips)
            return {"chosen_by": float((model(part.batch).score - part.score).abs().mean())}


def model():
    torch.manual_seed(1)
    return AlignMamba(CONFIG)


def same(first: nn.Module, second: nn.Module, *, atol: float = 0.0):
    for name, tensor in first.state_dict().items():
        torch.testing.assert_close(tensor, second.state_dict()[name], rtol=0.0, atol=atol, msg=name)


def test_the_best_epoch_is_kept():
    made, trained = Made(), model()
    run = fit(trained, made, TrainConfig(epochs=6, batch_size=8, learning_rate=1e-2))
    chosen = [entry["chosen_by"] for entry in run.history]
    assert chosen[-1] < chosen[0] / 2
    assert run.best_epoch == 1 + int(np.argmin(chosen))
    assert made.validate(trained)["chosen_by"] == pytest.approx(min(chosen), abs=1e-6)


def test_training_ends_when_validation_stands_still():
    made = Made()
    made.validate = lambda _: {"chosen_by": 1.0}
    run = fit(model(), made, TrainConfig(epochs=50, patience=3, align_first=0.0))
    assert (len(run.history), run.best_epoch) == (4, 1)


def test_training_does_not_end_before_the_modalities_are_aligned():
    made = Made()
    made.validate = lambda _: {"chosen_by": 1.0}
    aligned = fit(model(), made, TrainConfig(epochs=12, patience=3, align_share=0.5))
    assert len(aligned.history) == 6 + 3
    torch.manual_seed(1)
    never = AlignMamba(replace(CONFIG, align_weight=0.0))
    assert len(fit(never, made, TrainConfig(epochs=12, patience=3)).history) == 4, "global alignment is off"


def test_lambda_begins_high_and_ends_as_the_model_has_it(monkeypatch):
    seen = []

    def noted(*arguments, align_weight, **options):
        seen.append(align_weight)
        return loss(*arguments, align_weight=align_weight, **options)

    monkeypatch.setattr("training.trainer.loss", noted)
    fit(model(), Made(), TrainConfig(epochs=4, batch_size=8, align_first=6.0, align_share=0.5))
    assert seen[0] == pytest.approx(6.01) and seen[6:] == [CONFIG.align_weight] * 6
    assert all(later < earlier for earlier, later in pairwise(seen[:7]))
    seen.clear()
    fit(model(), Made(), TrainConfig(epochs=2, batch_size=8, align_first=0.0))
    assert set(seen) == {CONFIG.align_weight}, "the paper's constant lambda"


def test_self_distillation_adds_the_distance_to_the_complete_clips_scores():
    made, ours = Made(), model()
    part, complete = made.collate(made.clips[:8]), made.collate(made.clips[8:16]).batch
    part = part._replace(complete=complete)
    ours.train()
    taught = ours(complete).score.detach()
    by_hand = trainer._loss(ours, part) + 2.0 * (ours(part.batch).score - taught).square().mean()
    expected = torch.autograd.grad(by_hand, list(ours.parameters()), allow_unused=True)
    distilled = trainer._loss(ours, part, distil=2.0)
    found = torch.autograd.grad(distilled, list(ours.parameters()), allow_unused=True)
    assert distilled.item() == pytest.approx(by_hand.item()) and distilled.item() > trainer._loss(ours, part).item()
    torch.testing.assert_close(found, expected)
    assert ours.training
    with pytest.raises(ValueError, match="distil"):
        trainer._loss(ours, part._replace(complete=None), distil=2.0)


def test_a_killed_run_goes_on_with_the_same_numbers(tmp_path):
    settings = TrainConfig(epochs=5, batch_size=8, learning_rate=1e-2)
    whole, pieces = model(), model()
    expected = fit(whole, Made(), settings)
    with pytest.raises(KeyboardInterrupt):
        fit(pieces, Made(fails_after=2), settings, folder=tmp_path)
    assert len((tmp_path / run_state.LOG_FILE).read_text().splitlines()) == 2
    resumed, rest = model(), Made()
    assert fit(resumed, rest, settings, folder=tmp_path) == expected
    assert rest.epochs == 3
    same(whole, resumed)
    done = Made()
    fit(model(), done, settings, folder=tmp_path)
    assert done.epochs == 0


def test_a_folder_of_another_run_is_refused(tmp_path):
    fit(model(), Made(), TrainConfig(epochs=1), folder=tmp_path)
    with pytest.raises(ValueError, match="other settings"):
        fit(model(), Made(), TrainConfig(epochs=2), folder=tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": True}, r"data: 'made', expected 'others'"),
        ({"start": True}, "start: '[0-9a-f]+', expected"),
        ({"config": {"learning_rate": 2e-3}}, r"train.learning_rate: 0.001, expected 0.002"),
    ],
)
def test_other_data_weights_or_settings_are_another_run(tmp_path, change, message):
    settings = TrainConfig(epochs=1)
    fit(model(), Made(), settings, folder=tmp_path)
    weights = (tmp_path / run_state.STATE_FILE).read_bytes()
    source, other = Made(), model()
    if "data" in change:
        source.digest = "others"
    if "start" in change:
        other.heads.score.bias.data += 1
    settings = replace(settings, **change.get("config", {}))
    with pytest.raises(ValueError, match=message):
        fit(other, source, settings, folder=tmp_path)
    assert (tmp_path / run_state.STATE_FILE).read_bytes() == weights
    assert run_folder(tmp_path, "x", other, source, settings) != run_folder(
        tmp_path, "x", model(), Made(), TrainConfig(epochs=1)
    )


def test_a_run_of_another_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(run_state, "FORMAT", 1)
    fit(model(), Made(), TrainConfig(epochs=1), folder=tmp_path)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="format 1, expected 2; choose another folder"):
        fit(model(), Made(), TrainConfig(epochs=1), folder=tmp_path)


def test_half_precision_learns_too():
    run = fit(model(), Made(), TrainConfig(epochs=4, batch_size=8, learning_rate=1e-2, precision="bfloat16"))
    assert run.history[-1]["chosen_by"] < run.history[0]["chosen_by"]


class Steep(Made):
    """Scores so far off that their gradients overflow in half precision at first."""

    def collate(self, items):
        part = super().collate(items)
        return part if len(items) == len(self.clips) else part._replace(score=part.score * 300)


HALF = TrainConfig(epochs=8, batch_size=12, learning_rate=1e-2, precision="float16", patience=8)


def test_in_half_precision_overflows_end(caplog):
    """With two steps an epoch, each of which overflows at the first scale."""
    first = model()
    started = {name: value.clone() for name, value in first.state_dict().items()}
    fit(first, Steep(), replace(HALF, epochs=1))
    assert all(torch.equal(value, started[name]) for name, value in first.state_dict().items()), "nothing overflowed"
    assert "no step of this epoch was taken" in caplog.text
    run = fit(model(), Steep(), HALF)
    assert len({entry["chosen_by"] for entry in run.history}) > 1


def test_a_killed_run_in_half_precision_goes_on_with_its_scale(tmp_path):
    whole, pieces, resumed = model(), model(), model()
    expected = fit(whole, Steep(), HALF)
    with pytest.raises(KeyboardInterrupt):
        fit(pieces, Steep(fails_after=2), HALF, folder=tmp_path)
    assert fit(resumed, Steep(), HALF, folder=tmp_path) == expected
    same(whole, resumed)


SHARED = TrainConfig(epochs=3, batch_size=23, learning_rate=1e-3)  # of 24 clips: the last batch leaves a process none


class Watched(Made):
    """Notes what a process collates in training, and the seed of its dropout."""

    def __init__(self):
        super().__init__()
        self.collated, self.seeds = 0, set()

    def collate(self, items):
        if len(items) < len(self.clips):  # validation takes all
            self.collated += len(items)
            self.seeds.add(torch.initial_seed())
        return super().collate(items)


def _process(rank, world, folder):
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # loopback only
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    trained, made = model(), Watched()
    run = fit(trained, made, SHARED)
    noted = {"losses": [entry["loss"] for entry in run.history], "seeds": sorted(made.seeds), "items": made.collated}
    half = fit(model(), Steep(), replace(SHARED, precision="float16"))
    noted["half"] = [entry["loss"] for entry in half.history]
    (Path(folder) / f"{rank}.json").write_text(json.dumps(noted))
    if rank == 0:
        torch.save(trained.state_dict(), f"{folder}/weights.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """Weights and notes of two processes that have trained together."""
    folder = tmp_path_factory.mktemp("processes")
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_process, args=(rank, 2, str(folder))) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    noted = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]
    return torch.load(folder / "weights.pt", weights_only=True), noted


def test_two_processes_train_as_one(two_processes):
    weights, noted = two_processes
    alone = model()
    run = fit(alone, Made(), SHARED)
    for each in noted:
        assert each["losses"] == pytest.approx([entry["loss"] for entry in run.history], rel=1e-5)
    together = model()
    together.load_state_dict(weights)
    same(together, alone, atol=1e-4)


def test_two_processes_train_in_half_precision(two_processes):
    _, (first, second) = two_processes
    assert first["half"] == second["half"]
    assert np.isfinite(first["half"]).all()


def test_a_batch_without_a_label_is_passed_by():
    class Unlabelled(Made):
        def collate(self, items):
            part = super().collate(items)
            return part._replace(labelled=torch.full(part.score.shape, len(items) == len(self.clips) or len(items) > 4))

    given = TrainConfig(epochs=1, batch_size=20)  # and one of four
    trained = model()
    run = fit(trained, Unlabelled(), given)
    assert np.isfinite(run.history[0]["loss"])
    assert all(value.isfinite().all() for value in trained.state_dict().values())


def test_a_process_collates_its_own_part_only(two_processes):
    _, noted = two_processes
    assert sum(each["items"] for each in noted) == SHARED.epochs * len(Made().clips)


def test_processes_draw_dropout_of_their_own(two_processes):
    _, noted = two_processes
    first, second = (set(each["seeds"]) for each in noted)
    assert len(first) == len(second) == SHARED.epochs
    assert not first & second
    alone = Watched()
    fit(model(), alone, SHARED)
    assert first == alone.seeds


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs: 0"),
        ({"precision": "int4"}, "precision: 'int4'"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"align_first": -1.0}, "align_first: -1.0"),
        ({"distil": float("nan")}, "distil: nan"),
        ({"align_share": 0.0}, "align_share: 0.0"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**change)
