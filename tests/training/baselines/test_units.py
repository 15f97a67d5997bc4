"""Units: which modalities are there, and what cannot be read."""

import numpy as np
import pytest
import torch

from alignmamba.batch import PaddedSteps
from alignmamba.modality import MODALITIES
from tests.training import small
from training.baselines.units import available, mean_square
from training.data import masking

AUDIO, VIDEO, LANGUAGE = MODALITIES


def test_what_is_there_is_read_from_masks_or_from_the_last_column():
    clips = small.examples("clip", count=2)
    batch = small.batch("clip", [masking.apply(clips[0], np.array([[True, False, True]])), clips[1]])
    there = available(batch, small.config("clip"))
    assert {m: each.tolist() for m, each in there.items()} == {
        AUDIO: [True, True],
        VIDEO: [False, True],
        LANGUAGE: [True, True],
    }
    clips = small.examples("step", count=2)  # of two steps and of three
    masks = [np.ones((2, 3), bool), np.array([[True, False, True], [False, True, False], [False, False, False]])]
    batch = small.batch("step", [masking.apply(each, mask) for each, mask in zip(clips, masks, strict=True)])
    there = available({m: batch[m] for m in (AUDIO, VIDEO)}, small.config("step"))
    assert there[AUDIO].tolist() == [[True, True, False], [True, False, False]]
    assert there[VIDEO].tolist() == [[True, True, False], [False, True, False]]
    assert there[LANGUAGE].tolist() == [[False] * 3] * 2


def test_what_cannot_be_read_is_refused():
    with pytest.raises(ValueError, match="batch: no modality"):
        available({}, small.config("clip"))
    steps = PaddedSteps(
        values=torch.zeros(2, 3, 3), mask=torch.tensor([[True] * 3, [False] * 3]), seconds=torch.zeros(2, 3)
    )
    with pytest.raises(ValueError, match=r"batch: clips \[1\] have no valid step"):
        available({AUDIO: steps}, small.config("clip"))
    batch = small.batch("clip", small.examples("clip"))
    with pytest.raises(ValueError, match="expected the steps of video on the grid of the other modalities"):
        available(batch, small.config("step"))


def test_mean_square_counts_the_chosen_only():
    found, true = torch.tensor([[1.0, 1.0], [5.0, 5.0]]), torch.zeros(2, 2)
    assert mean_square(found, true, torch.tensor([True, False])) == 1
    assert mean_square(found, true, torch.tensor([False, False])) == 0
