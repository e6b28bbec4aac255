"""The backends and engines that come with ffbridge: one module for each framework, found through entry points.

``ffbridge`` does not import this package: its entry points name its modules, as those of any other package do.
"""

__all__: list[str] = []
