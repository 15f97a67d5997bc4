"""Baselines that complete absent modalities: the contract of all, and what is particular to each."""

import numpy as np
import pytest
import torch

from alignmamba.modality import MODALITIES, SUBSETS, Modality
from alignmamba.modeling.loss import loss
from tests.training import small
from training.baselines.dcca import DCCA, total_correlation
from training.baselines.gcnet import WINDOW
from training.baselines.imder import SIGMA
from training.baselines.registry import COMPLETION
from training.data import masking

LEVELS = ("clip", "step")
AUDIO, VIDEO, LANGUAGE = MODALITIES


@pytest.fixture(params=LEVELS)
def level(request):
    return request.param


@pytest.fixture(params=sorted(COMPLETION))
def name(request):
    return request.param


@pytest.fixture
def model(name, level):
    return COMPLETION[name](small.config(level)).eval()


def test_only_training_has_an_auxiliary_loss(model, level):
    clips = small.examples(level)
    batch, complete = small.batch(level, small.dropped(clips)), small.batch(level, clips)
    found = model(batch)
    assert found.auxiliary is None
    trained = model(batch, complete=complete)
    assert trained.auxiliary.shape == ()
    assert trained.auxiliary > 0
    torch.testing.assert_close(trained.score, found.score)  # the score does not depend on the complete batch


def test_gradients_reach_every_parameter(model, level):
    neighbours = ("weight_hh", "relations.0.", "relations.2.")  # what reads them is idle where there is one unit
    clips = small.examples(level, count=len(SUBSETS))
    left = [masking.fixed([each], kept).examples[0] for each, kept in zip(clips, SUBSETS, strict=True)]
    found = model(small.batch(level, left), complete=small.batch(level, clips))
    (found.score.square().sum() + found.logits.square().sum() + found.auxiliary).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if level == "clip" and any(part in name for part in neighbours):
            continue
        assert parameter.grad.abs().sum() > 0, name


def test_every_set_of_modalities_is_borne(model, level):
    clips = small.examples(level)
    whole = model(small.batch(level, clips)).score
    for subset in SUBSETS:
        batch = small.batch(level, masking.fixed(clips, subset).examples)
        found = model(batch).score
        assert found.shape == whole.shape
        assert found.isfinite().all()
        if level == "step":  # a column that says "absent" is no other than no modality at all
            torch.testing.assert_close(model({m: batch[m] for m in subset}).score, found, atol=1e-5, rtol=1e-5)


def test_what_was_never_there_is_no_target(model, level):
    """A data set without faces: what stands in the target for them is not read."""
    complete = small.batch(level, masking.fixed(small.examples(level), [AUDIO, LANGUAGE]).examples)
    clips = masking.fixed(small.examples(level), [AUDIO]).examples
    torch.manual_seed(1)
    found = model(small.batch(level, clips), complete=complete).auxiliary
    with torch.no_grad():
        model.encoders[VIDEO].norm.bias.add_(100.0)
    torch.manual_seed(1)
    torch.testing.assert_close(model(small.batch(level, clips), complete=complete).auxiliary, found)


def test_evaluation_repeats_itself(model, level):
    batch = small.batch(level, small.dropped(small.examples(level)))
    first = model(batch).score
    torch.manual_seed(7)
    assert torch.equal(model(batch).score, first)


def test_thirty_steps_lower_the_loss_by_a_third(name, level):
    clips = small.examples(level)
    config = small.config(level)
    model = COMPLETION[name](config).train()
    batch, complete = small.batch(level, small.dropped(clips)), small.batch(level, clips)
    score, classes, labelled = small.truth(level, clips)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-2)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        value = loss(model(batch, complete=complete), score, classes, config, labelled=labelled)
        value.backward()
        optimiser.step()
        losses.append(value.item())
    assert np.mean(losses[-3:]) < 2 / 3 * losses[0]


def test_correlation_is_the_cosine_of_principal_angles():
    x = torch.randn(200, 3)
    y = torch.cat([x[:, :1] @ torch.randn(1, 2) + torch.randn(200, 2), torch.randn(200, 2)], 1)
    bases = [np.linalg.qr((each - each.mean(0)).numpy())[0] for each in (x, y)]
    angles = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
    assert total_correlation(x, y).item() == pytest.approx(angles.sum(), abs=5e-3)  # the ridge takes a little
    assert total_correlation(x, x @ torch.randn(3, 3)).item() == pytest.approx(3, abs=2e-2)


def test_the_correlation_objective_makes_views_correlate():
    clips = small.examples("step", count=24, seed=3)
    model = DCCA(small.config("step"))
    complete = small.batch("step", clips)
    before = model.auxiliary(complete).item()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(25):
        optimiser.zero_grad()
        model.auxiliary(complete).backward()
        optimiser.step()
    assert model.auxiliary(complete).item() < 0.8 * before


@pytest.mark.parametrize("name", ["dcca", "dccae"])
def test_an_absent_modality_is_zeros_among_the_views(name, level):
    model = COMPLETION[name](small.config(level))
    units = model.units(small.batch(level, masking.fixed(small.examples(level), [LANGUAGE]).examples))
    views = model.project(units)
    assert (views[:, :, :2] == 0).all()
    assert (views[:, :, 2] != 0).any()


def test_translation_reads_the_source_only(level):
    model = COMPLETION["mctn"](small.config(level)).eval()
    clips = small.examples(level)
    whole = model(small.batch(level, clips)).score
    words = model(small.batch(level, masking.fixed(clips, [LANGUAGE]).examples)).score
    torch.testing.assert_close(whole, words)
    voices = model(small.batch(level, masking.fixed(clips, [AUDIO]).examples)).score
    assert not torch.allclose(whole, voices)
    both = model(small.batch(level, masking.fixed(clips, [AUDIO, VIDEO]).examples)).score
    faces = model(small.batch(level, masking.fixed(clips, [VIDEO]).examples)).score
    torch.testing.assert_close(both, faces)  # the face comes before the voice, as everywhere


def test_graph_edges_end_at_the_window():
    model = COMPLETION["gcnet"](small.config("step"))
    steps = 4 * WINDOW + 3
    nodes, mask = torch.randn(1, steps, 8), torch.ones(1, steps, dtype=torch.bool)
    changed = nodes.clone()
    changed[0, 0] += 1
    differs = (model.convolve(changed, mask) - model.convolve(nodes, mask)).abs().sum(-1)[0] > 1e-6
    assert differs.tolist() == [place <= 2 * WINDOW for place in range(steps)]  # two convolutions


def test_graph_relations_tell_past_from_future():
    model = COMPLETION["gcnet"](small.config("step"))
    nodes, mask = torch.randn(1, 5, 8), torch.ones(1, 5, dtype=torch.bool)
    turned = model.convolve(nodes.flip(1), mask).flip(1)
    assert not torch.allclose(model.convolve(nodes, mask), turned)
    relations = model.relations
    relations[0].weight.data, relations[2].weight.data = relations[2].weight.data, relations[0].weight.data
    torch.testing.assert_close(model.convolve(nodes, mask), turned)


def test_the_probability_flow_leads_to_the_data_where_the_score_is_known():
    """With the exact score of a single point, every start ends in that point."""
    model = COMPLETION["imder"](small.config("clip")).eval()
    point = torch.randn(8)
    model.noise = lambda modality, x, time, condition: (x - point) / deviation(time)
    found = model.recover(AUDIO, torch.zeros(3, 1, 27))
    torch.testing.assert_close(found, point.expand(3, 1, 8))


def deviation(time):
    return ((SIGMA ** (2 * time) - 1) / (2 * np.log(SIGMA))) ** 0.5


def test_recovery_starts_anew_in_training_and_alike_at_evaluation():
    model = COMPLETION["imder"](small.config("clip"))
    condition = torch.randn(1, 1, 27).expand(2, 1, 27)
    one, other = model.eval().recover(VIDEO, condition)
    assert torch.equal(one, other)
    one, other = model.train().recover(VIDEO, condition)
    assert not torch.equal(one, other)


def test_the_order_of_modalities_does_not_confuse_what_is_absent(name):
    turned = small.config("clip", order=(LANGUAGE, AUDIO, VIDEO))
    model = COMPLETION[name](turned).eval()
    clips = small.examples("clip")
    batch = small.batch("clip", masking.fixed(clips, [Modality.AUDIO]).examples)
    units = model.units(batch)
    assert units.here[:, 0].tolist() == [[False, True, False]] * len(clips)
    assert model(batch, complete=small.batch("clip", clips)).auxiliary > 0
