"""DualStreamBench: streaming video understanding with two systems, measured."""

from __future__ import annotations

__version__ = "0.1.0"
