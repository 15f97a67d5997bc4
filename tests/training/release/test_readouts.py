"""Read-outs: the fit is what the model computes, and a person's own clips never reach their read-out."""

import numpy as np
import pytest
import torch

from alignmamba.config import ModelConfig
from alignmamba.modality import Modality
from alignmamba.modeling.model import AlignMamba
from extractors.vision import facial
from training.release import readouts
from training.release.readouts import Examples, Readout
from training.release.train import install


def _examples(rng, *, people=10, clips=12, columns=6):
    classes = rng.integers(3, size=people * clips)
    rows = rng.normal(size=(people * clips, columns))
    rows[:, 0] += classes
    labels = np.array(["angry", "neutral", "happy"])[classes]
    names = [f"p{number // clips}" for number in range(people * clips)]
    return Examples(statistics=rows, people=names, labels=labels.tolist(), classes=classes)


def test_the_outputs_tell_the_classes_apart(rng):
    made = _examples(rng)
    read = readouts.fit_folded(made, strength=1.0)
    found = np.stack([read.full(row) for row in made.statistics])
    assert found.shape == (len(made.people), readouts.OUTPUTS) and np.abs(found).max() <= readouts.CLAMP
    assert found[made.happy, 0].mean() > found[made.negative, 0].mean() + 0.5
    assert (found[:, 1:].argmax(1) == made.classes).mean() > 0.5


def test_a_persons_own_clips_do_not_reach_their_readout(rng):
    made = _examples(rng)
    read = readouts.fit_folded(made, strength=1.0)
    assert set(read.folds) == set(made.people) and len(read.without) == readouts.FOLDS
    mine = np.array([read.folds[name] == read.folds["p3"] for name in made.people])
    changed = made.statistics.copy()
    changed[mine] = rng.normal(50, 9, changed[mine].shape)
    other = readouts.fit_folded(
        Examples(statistics=changed, people=made.people, labels=made.labels, classes=made.classes), strength=1.0
    )
    probe = rng.normal(size=changed.shape[1])
    np.testing.assert_array_equal(read(probe, "p3"), other(probe, "p3"))
    assert not np.allclose(read(probe, "somebody"), other(probe, "somebody"))
    np.testing.assert_array_equal(read(probe, "somebody"), read.full(probe))


def test_the_full_fit_is_what_the_model_computes_and_gives_back(rng):
    fits = {
        modality: readouts.fit_folded(_examples(rng, columns=columns), strength=1.0)
        for modality, columns in ((Modality.AUDIO, 6), (Modality.VIDEO, 7))
    }
    config = ModelConfig(
        audio_dim=9, video_dim=10, language_dim=3, audio_statistics=6, video_statistics=7, readouts=4, width=8
    )
    model = AlignMamba(config).requires_grad_(False)
    install(model, fits)
    given = readouts.from_model(model)
    for modality, fitted in fits.items():
        for probe in rng.normal(0, 3, (20, len(fitted.full.mean))):
            computed = model.encoders[modality].readout(torch.from_numpy(probe).float()).numpy()
            np.testing.assert_allclose(computed, fitted.full(probe), atol=1e-4)
            np.testing.assert_allclose(given[modality](probe, "p0"), fitted.full(probe), atol=1e-4)
        assert isinstance(given[modality], Readout) and not given[modality].folds


def test_a_model_without_statistics_has_none():
    model = AlignMamba(ModelConfig(audio_dim=5, video_dim=4, language_dim=6, width=8))
    with pytest.raises(ValueError, match="audio_statistics: 0, expected a model that reads clip statistics"):
        readouts.from_model(model)


def test_what_a_face_readout_reads_is_chosen_by_real_people_that_each_fit_left_out(rng):
    """Only the ranges tell the classes; the other statistics tell people, and one person has one class only."""
    columns = len(facial.CLIP_COLUMNS)

    def faces(*people, clips=30):
        made = _examples(rng, people=len(people), clips=clips, columns=columns)
        rows, classes = made.statistics.copy(), made.classes
        rows[:, 0] -= classes
        rows[:, facial.clip_columns("q20_to_q80")] += 3 * classes[:, None]
        for number in range(len(people)):  # how a person looks at rest
            rows[number * clips : (number + 1) * clips, facial.clip_columns("mean", "q80")] += rng.normal(0, 9)
        return Examples(statistics=rows, people=np.repeat(people, clips).tolist(), labels=made.labels, classes=classes)

    fitted, real = faces("a", "b", "pair_1", "pair_2"), faces("pair_1", "pair_2", clips=12)
    found = readouts.inner_aucs(fitted, real, strength=0.01)
    assert set(found) == set(readouts.FACE_KINDS)
    assert found["q20_to_q80"] == 1.0 > found["mean"] and found["q20_to_q80"] > found["std"]
    chosen = readouts.chosen_face_columns(fitted, real, strength=0.01)
    read = readouts.fit_all(fitted, strength=0.01, columns=chosen)
    assert "q20_to_q80" in {
        facial.CLIP_COLUMNS[place].rsplit("_clip_", 1)[1] for place in np.flatnonzero(read.weight[0])
    }
    assert set(np.flatnonzero(read.weight.any(0))) <= set(chosen.tolist())
    nobody = real.without("pair_1", "pair_2")
    assert len(readouts.chosen_face_columns(fitted, nobody, strength=0.01)) == columns
