"""The profiles that ship, fitted anew from the measurements that ship."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files

from sim.calibration.fit import Fit, fit
from sim.calibration.measurements import FIT, HELD_OUT, Measurement, shipped
from sim.calibration.predict import Point, points
from sim.calibration.profile_yaml import profile_yaml
from sim.device.board import CostProfile
from sim.device.library import read_file
from sim.device.loader import load_profile

GENERIC = "generic"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A profile to be fitted: what it is of, and the ratios it starts from."""

    name: str
    title: str
    prior: str = GENERIC


def recipes() -> tuple[Recipe, ...]:
    """Those of devices/measurements/profiles.yaml, a prior always before what starts from it."""
    node = read_file(files("devices") / "measurements" / "profiles.yaml")
    made = []
    for name, entry in node.mapping("").items():
        fields = {key: str(value.value) for key, value in entry.mapping(name).items()}
        made.append(Recipe(name, fields["title"], fields.get("from", GENERIC)))
    return tuple(sorted(made, key=lambda r: r.prior != GENERIC))


def calibrated(
    asked: Iterable[Recipe], measurements: Iterable[Measurement] | None = None
) -> Iterator[tuple[Fit, str]]:
    """Each recipe's fit and its YAML; a prior that was itself asked for is taken as fitted here.

    Raises ConfigError for a prior that isn't installed, SpillwayError as `fit` does.
    """
    rows = shipped() if measurements is None else tuple(measurements)
    made: dict[str, CostProfile] = {}
    for recipe in asked:
        prior = made.get(recipe.prior) or load_profile(recipe.prior)
        learnt, unseen = (
            _points(r for r in rows if r.profile == recipe.name and r.use == use)
            for use in (FIT, HELD_OUT)
        )
        found = fit(learnt, prior, recipe.name, unseen)
        made[recipe.name] = found.profile
        yield found, profile_yaml(found, prior, recipe.title)


def _points(rows: Iterable[Measurement]) -> tuple[Point, ...]:
    """The points with any profile at all: their own may not exist before it is fitted."""
    return points(tuple(rows), lambda _: load_profile(GENERIC))
