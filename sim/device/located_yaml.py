"""YAML read into values that know their line, with duplicate keys refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

import yaml

from sim.errors import ConfigError

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Located:
    """A YAML value at `line` of `file`: a scalar, a list of Located, or a dict of them.

    `key_lines` holds the line of each key of a dict.
    """

    value: object
    file: str
    line: int
    key_lines: Mapping[str, int] = field(default_factory=dict)

    @property
    def shown(self) -> object:
        """The value as an error message shows it; a list or a dict only by its kind."""
        if isinstance(self.value, dict):
            return "a mapping" if self.value else "an empty mapping"
        return "a list" if isinstance(self.value, list) else self.value

    def error(self, where: str, wanted: str) -> ConfigError:
        """The error that this value is not what was wanted."""
        return ConfigError(self.file, self.line, where, self.shown, wanted)

    def mapping(self, where: str) -> dict[str, Located]:
        """The entries. Raises ConfigError if this is no mapping, or an empty one."""
        if not isinstance(self.value, dict) or not self.value:
            raise self.error(where or "file", "a mapping of names to values")
        return self.value


def read_yaml(text: str, file: str) -> Located:
    """The one document in the text. Raises ConfigError if it isn't YAML, or is empty."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise ConfigError(file, None, "file", "nothing", "a YAML mapping")
        return _Converter(loader, file).convert(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise ConfigError(file, line, "file", error.problem, "valid YAML") from error
    except yaml.YAMLError as error:
        raise ConfigError(file, None, "file", str(error), "valid YAML") from error
    except RecursionError as error:
        raise ConfigError(file, None, "file", "endless nesting", "valid YAML") from error
    finally:
        loader.dispose()


def did_you_mean(found: object, names: list[str]) -> str:
    """The names as the end of a sentence, the likely one first if there is one."""
    close = get_close_matches(str(found), names, n=1)
    listed = f"one of: {', '.join(sorted(names)) or 'none'}"
    return f"{listed}; did you mean {close[0]}?" if close else listed


class _Converter:
    """Turns composed nodes into Located values; a node that an alias repeats is converted once."""

    def __init__(self, loader: yaml.SafeLoader, file: str) -> None:
        self._loader, self._file = loader, file
        self._done: dict[int, Located] = {}

    def convert(self, node: yaml.Node) -> Located:
        if id(node) not in self._done:
            self._done[id(node)] = self._convert(node)
        return self._done[id(node)]

    def _convert(self, node: yaml.Node) -> Located:
        line = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, line)
        if isinstance(node, yaml.SequenceNode):
            return Located([self.convert(child) for child in node.value], self._file, line)
        return Located(self._scalar(node), self._file, line)

    def _mapping(self, node: yaml.MappingNode, line: int) -> Located:
        entries: dict[str, Located] = {}
        key_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key, key_line = self.convert(key_node), key_node.start_mark.line + 1
            if not isinstance(key.value, str):
                raise key.error("key", "a name")
            if key.value in entries:
                first = key_lines[key.value]
                wanted = f"each key once; the first is in line {first}"
                raise ConfigError(self._file, key_line, key.value, "a second one", wanted)
            entries[key.value], key_lines[key.value] = self.convert(value_node), key_line
        return Located(entries, self._file, line, key_lines)

    def _scalar(self, node: yaml.Node) -> object:
        try:
            return self._loader.construct_object(node)
        except ValueError:
            return str(node.value)
