"""Fits: a force field, a bundle or a network to targets, from a TOML file to a folder with a report.

``ffbridge fit`` is this as a command; docs/fitting.md describes the file.
"""

from ffbridge.fitting.evaluation import Error
from ffbridge.fitting.loop import Progress
from ffbridge.fitting.report import Change, FitReport
from ffbridge.fitting.run import fit
from ffbridge.fitting.settings import FitSettings, read_settings

__all__ = ["Change", "Error", "FitReport", "FitSettings", "Progress", "fit", "read_settings"]
