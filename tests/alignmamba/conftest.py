"""Fixtures of the library's tests."""

from tests.alignmamba.ops.mamba_ssm_stub import mamba_ssm  # noqa: F401  # pytest finds it here
