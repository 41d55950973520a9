"""The site's hook: makes the pages of the boards and the pictures of the policies at build time.

A page asks for what is made by a comment, which a plain view of the file does not show:
`<!-- boards -->` for the table of boards, `<!-- picture ... -->` for a policy's picture (see
generate/pictures.py).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))

from generate import boards, pictures

BOARDS = "boards/index.md"
PICTURE = re.compile(r"<!-- picture\n(.*?)-->", re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Puts a page for each board into the navigation."""
    for entry in config.nav or []:
        pages = entry.get("Boards") if isinstance(entry, dict) else None
        if pages:
            pages[1:] = [{board.name: f"boards/{board.name}.md"} for board in boards.boards()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds what is generated."""
    for board in boards.boards():
        _add(files, config, f"boards/{board.name}.md", boards.page(board))
    for file in list(files.documentation_pages()):
        for picture in PICTURE.findall(file.content_string):
            _add(files, config, _picture_uri(file.src_uri), pictures.drawn(pictures.read(picture)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Puts what is generated where the page asks for it."""
    if page.file.src_uri == BOARDS:
        return markdown.replace("<!-- boards -->", boards.overview(boards.boards()))
    name = Path(_picture_uri(page.file.src_uri)).name
    return PICTURE.sub(lambda found: pictures.figure(pictures.read(found[1]), name), markdown)


def _picture_uri(page_uri: str) -> str:
    return str(Path(page_uri).with_suffix(".svg"))


def _add(files: Files, config: MkDocsConfig, uri: str, content: Any) -> None:
    files.append(File.generated(config, uri, content=content))
