"""Files are written together or not at all, and nothing temporary stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim import files
from sim.errors import SpillwayError
from sim.files import write_together, write_whole


def there(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in found}


def test_all_are_written_and_the_obsolete_are_gone(tmp_path: Path) -> None:
    write_whole(tmp_path / "old", "old")
    write_together(
        {tmp_path / "a": "a", tmp_path / "sub" / "b": b"b"},
        obsolete=[tmp_path / "old", tmp_path / "never there"],
    )
    assert there(tmp_path) == {"a": "a", "sub/b": "b"}


@pytest.mark.parametrize("in_the_way", ["b", "sub"])
def test_where_one_can_t_be_written_nothing_changes(in_the_way: str, tmp_path: Path) -> None:
    """A folder of the file's name, or a file of its folder's."""
    before = {"a": "before", "old": "old"}
    if in_the_way == "b":
        (tmp_path / "b").mkdir()
    else:
        before["sub"] = "a file"
    for name, text in before.items():
        write_whole(tmp_path / name, text)
    contents = {
        tmp_path / "a": "after", tmp_path / "new" / "er" / "d": "d", tmp_path / "b": "b",
        tmp_path / "sub" / "c": "c",
    }  # fmt: skip
    with pytest.raises(SpillwayError, match=f"{in_the_way}.*: can't be written"):
        write_together(contents, obsolete=[tmp_path / "old"])
    assert there(tmp_path) == before
    assert {path.name for path in tmp_path.iterdir()} == {*before, in_the_way}


def test_nor_where_the_writing_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_whole(tmp_path / "a", "before")
    staged = files._staged

    def interrupted(target: Path, data: str) -> Path:
        if target.name == "b":
            raise KeyboardInterrupt
        return staged(target, data)

    monkeypatch.setattr(files, "_staged", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_together({tmp_path / "a": "after", tmp_path / "b": "b"})
    assert there(tmp_path) == {"a": "before"}
