"""Seeds and threads for every test."""

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(1111)
    np.random.seed(1111)
