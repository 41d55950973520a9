"""Where board files and parts are found: installed packages, or the folder of a user's file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path

from sim.device.located_yaml import Located, did_you_mean, read_yaml
from sim.errors import ConfigError

ENTRY_POINTS = "sim.devices"
BUILT_IN = "devices"
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Library:
    """Folders that hold boards/, cores/, memories/ and storage/; the first that has a name wins."""

    roots: tuple[Traversable, ...]

    def names(self, folder: str) -> list[str]:
        """The names of the files in that folder of any root."""
        return sorted({name for root in self.roots for name, _ in _files(root, folder)})

    def part(self, folder: str, asked: Located, where: str) -> Located:
        """The part file that the value names. Raises ConfigError if there is none."""
        for root in self.roots:
            for name, file in _files(root, folder):
                if name == asked.value:
                    return read_file(file)
        wanted = f"a file in {folder}/, {did_you_mean(asked.shown, self.names(folder))}"
        raise asked.error(where, wanted)


def find_board(name: str) -> tuple[Traversable, Library]:
    """The installed board file of that name, and where its parts are: its own package first.

    Raises ConfigError if no package has it, or if two do.
    """
    roots = _installed_roots()
    found = [(root, file) for root in roots for n, file in _files(root, "boards") if n == name]
    if not found:
        wanted = f"{did_you_mean(name, Library(roots).names('boards'))} (or a path to a .yaml file)"
        raise ConfigError("board", None, "name", name, wanted)
    if len(found) > 1:
        files = " and ".join(str(file) for _, file in found)
        raise ConfigError("board", None, "name", name, f"a name that only one package has: {files}")
    home, file = found[0]
    return file, Library((home, *(root for root in roots if root is not home)))


def library_beside(path: Path) -> Library:
    """The parts for a user's board file: those beside it, then the installed ones."""
    folder = path.resolve().parent
    beside = (folder, folder.parent) if folder.name == "boards" else (folder,)
    return Library((*beside, *_installed_roots()))


def installed() -> Library:
    """The boards and parts of all installed packages."""
    return Library(_installed_roots())


def read_file(file: Traversable) -> Located:
    """The file's YAML. Raises ConfigError if it can't be read, or is no UTF-8."""
    try:
        return read_yaml(file.read_text(encoding="utf-8"), str(file))
    except OSError as error:
        found = error.strerror or str(error)
        raise ConfigError(str(file), None, "file", found, "a YAML file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(file), None, "file", "bytes", "text in UTF-8") from error


def _installed_roots() -> tuple[Traversable, ...]:
    from importlib.metadata import entry_points
    from importlib.resources import files

    packages = sorted({point.value for point in entry_points(group=ENTRY_POINTS)})
    roots = []
    for package in packages or [BUILT_IN]:
        try:
            roots.append(files(package))
        except ImportError as error:
            wanted = "a package that can be imported"
            raise ConfigError("entry points", None, ENTRY_POINTS, package, wanted) from error
    return tuple(roots)


def _files(root: Traversable, folder: str) -> Iterator[tuple[str, Traversable]]:
    directory = root / folder
    if not directory.is_dir():
        return
    for file in sorted(directory.iterdir(), key=lambda f: f.name):
        stem, dot, suffix = file.name.rpartition(".")
        if stem and dot + suffix in _SUFFIXES:
            yield stem, file
