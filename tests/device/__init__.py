"""Tests of units, boards, the loader and the cost model."""
