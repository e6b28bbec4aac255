"""From the OpenFF stack: molecules become an Interchange, an Interchange becomes a bundle."""

from .interchange import from_interchange
from .nagl import cached_nagl
from .parametrize import DEFAULT_FORCE_FIELD, load_force_field, parametrize, read_molecules

__all__ = [
    "DEFAULT_FORCE_FIELD",
    "cached_nagl",
    "from_interchange",
    "load_force_field",
    "parametrize",
    "read_molecules",
]
