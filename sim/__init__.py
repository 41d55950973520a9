"""Spillway: simulate, plan and compile neural networks for a microcontroller's memory."""

__version__ = "0.1.0"
