"""The modules that are mutated, each with the quick tests that cover it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MODULES", "Subject"]


@dataclass(frozen=True)
class Subject:
    """A module and its tests.

    Attributes:
        tests: files and options of pytest.
        frameworks: what is imported before the tests begin, once for all mutants.
    """

    tests: tuple[str, ...]
    frameworks: tuple[str, ...] = ("torch",)


def _chosen(*words: str) -> str:
    """Return the option that leaves tests out whose names have one of these words: slow ones, which find no more."""
    return "-k" + " and ".join(f"not {word}" for word in words)


_EXCHANGE = Subject(
    (
        *(f"tests/bridge/exchange/test_{name}.py" for name in ("refusals", "devices", "plugins", "matrix", "tracing")),
        _chosen("test_torch_compile", "jagged", "jax_keys", "several_devices"),
    ),
    ("torch", "jax"),
)
_MAPPING = Subject((*(f"tests/bridge/test_{name}.py" for name in ("mapping", "pullback", "separate")), _chosen("jax")))
_RULES = Subject(
    (
        "tests/spec/test_vectors.py",
        "tests/bridge/test_validate.py",
        "tests/bridge/test_overrides.py",
        _chosen("jax", "torch", "javascript", "interchange", "time_grows", "traced"),
    ),
    (),
)
_SLOW_OR_LATER = (
    *("jax", "second_derivatives", "interchange", "openmm", "unknown", "compiled", "engines_agree"),
    *("that_the_scripts_make", "vectors_are_small"),
)
_ENERGY = Subject(
    (
        "tests/spec/test_energy_vectors.py",
        *(f"tests/bridge/energy/test_{name}.py" for name in ("geometry", "formulas", "methods", "pairs", "tangents")),
        "tests/bridge/test_potential.py",
        "tests/bridge/energy/test_other_forms.py",
        "tests/bridge/test_overrides.py",
        _chosen(*_SLOW_OR_LATER),
    )
)
_SITES = Subject(
    (
        *("tests/bridge/energy/test_virtual_sites.py", "tests/bridge/test_virtual_sites.py"),
        "tests/spec/test_energy_vectors.py",
        _chosen(*_SLOW_OR_LATER),
    )
)
_TANGENTS = Subject(
    (
        "tests/bridge/energy/test_tangents.py",
        "tests/bridge/test_potential.py",
        "tests/bridge/energy/test_other_forms.py",
        _chosen("jax", "interchange", "openmm", "unknown", "compiled", "engines_agree", "second_derivatives_are"),
    )
)

MODULES = {
    "ffbridge.exchange": _EXCHANGE,
    "ffbridge.mapping": _MAPPING,
    **{
        f"ffbridge.rules.{name}": _RULES
        for name in ("document", "fault", "layout", "models", "overrides", "parameters", "settings", "topology")
    },
    **{
        f"ffbridge.energy.{name}": _ENERGY
        for name in (
            "bonded",
            "cmap",
            "coupling",
            "derivatives",
            "geometry",
            "methods",
            "mixing",
            "nonbonded",
            "overrides",
            "pair_energy",
            "pairs",
            "total",
            "vectors",
        )
    },
    "ffbridge.energy.virtual_sites": _SITES,
    "ffbridge.energy.tangents": _TANGENTS,
}
