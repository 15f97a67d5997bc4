"""Seeds and threads for every test."""

import numpy as np
import pytest
import torch
from hypothesis import settings

# How long an example takes says more of what else the machine is doing than of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(1111)
    np.random.seed(1111)
