"""The errors that a user can cause; each says where, what was found and what was wanted."""

from __future__ import annotations

from pathlib import Path


class SpillwayError(Exception):
    """Wrong use or bad input; the command line turns it into one message and exit code 2."""

    exit_code = 2


class ModelError(SpillwayError):
    """A .tflite file that can't be read, or a graph that is not valid."""


class PlanError(SpillwayError):
    """A placement that breaks a rule: an overlap, an offset out of place."""


class MissingToolError(SpillwayError):
    """An optional dependency is needed and not installed."""


class PolicyError(SpillwayError):
    """A policy that does not exist, has a bad parameter, or can't be applied here."""


class CannotFitError(PolicyError):
    """A goal that can't be met; names the tensor and the memory in the way."""

    exit_code = 1


class ConfigError(SpillwayError):
    """A board or scenario file with a bad field."""

    def __init__(
        self, file: str | Path, line: int | None, field: str, found: object, wanted: str
    ) -> None:
        where = f"{file}:{line}" if line is not None else str(file)
        super().__init__(f"{where}: {field}: found {found!r}, wanted {wanted}")
        self.file, self.line, self.field = str(file), line, field
        self.found, self.wanted = found, wanted
