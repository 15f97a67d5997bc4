"""A browser for the tests of the screen."""

from __future__ import annotations

import pytest
from playwright.sync_api import sync_playwright

from benchmarks.screen import camera, find_browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A browser without a window, whose camera and microphone play a sample on pages that may use them."""
    if (path := find_browser()) is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")
    with sync_playwright() as driver:
        options = camera(tmp_path_factory.mktemp("camera"))
        opened = driver.chromium.launch(
            executable_path=path, args=[*options, "--autoplay-policy=no-user-gesture-required"]
        )
        yield opened
        opened.close()
