"""A headless Chromium for tests, where there is one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def executable() -> str | None:
    """The path of a browser, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A page that a file was opened in, once its pictures are drawn.

    Fails where the page asks for anything else, or complains on its console. Skips the test where
    Playwright or a browser is missing.
    """
    sync_api = pytest.importorskip("playwright.sync_api")
    browser_path = executable()
    if browser_path is None:
        pytest.skip(f"needs a browser: {', '.join(NAMES)}")
    requests: list[str] = []
    complaints: list[str] = []

    def heard(kind: str, text: str) -> None:
        if kind in ("warning", "error"):
            complaints.append(text)

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: heard(message.type, message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready=yes]", timeout=60_000)
        yield page
        browser.close()
    assert requests == [path.as_uri()]
    assert complaints == []
