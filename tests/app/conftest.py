"""A browser for the tests of the screen."""

from __future__ import annotations

import pytest
from playwright.sync_api import sync_playwright

from benchmarks.screen import QUIET, find_browser


@pytest.fixture(scope="module")
def browser():
    """A browser without a window."""
    if (path := find_browser()) is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")
    with sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=path, args=[*QUIET, "--autoplay-policy=no-user-gesture-required"]
        )
        yield opened
        opened.close()
