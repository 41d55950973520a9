"""What each command does: reads its inputs, calls the layers, shows the result."""

from __future__ import annotations

OK, FAILED = 0, 1
