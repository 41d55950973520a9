"""The site builds without a warning, and a page of it asks nothing of a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from sim.device.loader import board_names
from sim.policy import policy_names
from tests.docs.pages import DOCS, ROOT

pytestmark = pytest.mark.skipif(
    find_spec("mkdocs") is None or find_spec("material") is None, reason="mkdocs is not installed"
)

_LOADED = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed|object|link|use)\b[^>]*?"
    r"\b(?:src|href|data|srcset)=[\"']?([^\"' >]+)"
)
_LINK = re.compile(r"<link\b[^>]*>")
_NOT_LOADED = (
    'rel="canonical"',
    'rel="next"',
    'rel="prev"',
    "rel=canonical",
    "rel=next",
    "rel=prev",
)
_STYLE = re.compile(r"(?:url\(|@import\s+)[\"']?([^\"')\s]+)")
_OUTSIDE = re.compile(r"^(?:https?:)?//")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with warnings as errors."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)]
    found = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=found)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def loaded(site: Path) -> Iterator[tuple[Path, str]]:
    """What the pages and styles of a site load, by the file that does.

    404.html is left out: only a server shows it, and its addresses begin at the server's root.
    """
    for page in site.rglob("*.html"):
        if page.name == "404.html":
            continue
        text = page.read_text()
        text = _LINK.sub(lambda m: "" if any(r in m[0] for r in _NOT_LOADED) else m[0], text)
        yield from ((page, address) for address in _LOADED.findall(text))
    for style in site.rglob("*.css"):
        yield from ((style, address) for address in _STYLE.findall(style.read_text()))


def test_nothing_is_loaded_from_outside(site: Path) -> None:
    found = list(loaded(site))
    assert len(found) > 100
    assert [(page.name, address) for page, address in found if _OUTSIDE.match(address)] == []


def test_the_theme_is_given_no_reason_to_load_something(site: Path) -> None:
    """Its script fetches a library for diagrams, and figures of a repository, where asked to."""
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert 'class="mermaid"' not in text
        assert "data-md-component=source" not in text.replace('"', "")


def test_what_is_loaded_is_there(site: Path) -> None:
    for page, address in loaded(site):
        path = unquote(urlsplit(address).path)
        if path and not address.startswith("data:"):
            assert (page.parent / path).is_file(), f"{page.relative_to(site)}: {address}"


def test_every_board_has_a_page_with_its_sources(site: Path) -> None:
    for name in board_names():
        page = (site / "boards" / f"{name}.html").read_text()
        assert "numbers are assumed" in page and "core.clock" in page


def test_every_policy_has_a_picture(site: Path) -> None:
    for name in policy_names():
        picture = (site / "policies" / f"{name}.svg").read_text()
        assert picture.startswith("<?xml") and "</svg>" in picture
        assert f'src="{name}.svg"' in (site / "policies" / f"{name}.html").read_text()


def test_a_picture_is_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS)
    pictures = import_module("generate.pictures")
    picture = pictures.Picture("ds_cnn", "nucleo_l4r5zi", "baseline", "plan")
    first = pictures.drawn(picture)
    pictures.programs.cache_clear()
    assert pictures.drawn(picture) == first


def test_the_hook_itself_is_not_part_of_the_site(site: Path) -> None:
    assert (DOCS / "hooks.py").is_file()
    assert list(site.rglob("*.py")) == []
