"""The search for stages does little work in the tests of policies, so that they stay quick."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def quick(little_work: None) -> None:
    """See tests/conftest.py."""
