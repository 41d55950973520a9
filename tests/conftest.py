"""What all tests share: hypothesis' settings, and the real models one at a time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

import policies.auto
import policies.staging

SHARED = Path(__file__).parents[2] / "shared" / "models"

settings.register_profile(
    "spillway", deadline=None, derandomize="CI" in os.environ, print_blob=True
)
settings.load_profile("spillway")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cases", type=int, default=25, help="random compositions of policies that are tried"
    )


@pytest.fixture(params=sorted(SHARED.glob("*.tflite")), ids=lambda path: path.stem)
def model_path(request: pytest.FixtureRequest) -> Path:
    """A real int8 model; tests that ask for it are skipped where there is none."""
    path: Path = request.param
    return path


@pytest.fixture
def little_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The searches do little work: what it finds is worse then, never wrong."""
    monkeypatch.setattr(policies.staging, "WORK", 600)
    monkeypatch.setattr(policies.staging, "WORK_PER_OP", 50)
    monkeypatch.setattr(policies.auto, "SMALL", 6)
    monkeypatch.setattr(policies.auto, "WORK", 600)
    monkeypatch.setattr(policies.auto, "WORK_PER_OP", 50)
