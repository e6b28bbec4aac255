"""The main job on real input: `ffbridge demo`."""

from .report import Report
from .run import run_demo

__all__ = ["Report", "run_demo"]
