"""The modules that are mutated, each with the quick tests that cover it."""

from __future__ import annotations

from dataclasses import dataclass, replace

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


def _chosen(*words: str, but: str = "") -> str:
    """Return the option that leaves tests out whose names have one of these words: slow ones, which find no more.

    Those that have the word `but` are kept.
    """
    left_out = " and ".join(f"not {word}" for word in words)
    return f"-k({left_out}) or {but}" if but else f"-k{left_out}"


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
        "tests/bridge/test_rules.py",
        "tests/spec/test_vectors.py",
        "tests/bridge/test_validate.py",
        "tests/bridge/test_overrides.py",
        _chosen("jax", "torch", "javascript", "interchange", "openmm", "time_grows", "traced"),
    )
)
_SLOW_OR_LATER = (
    *("jax", "second_derivatives", "interchange", "openmm", "unknown", "compiled", "engines_agree"),
    *("that_the_scripts_make", "vectors_are_small"),
)
_ENERGY_TESTS = (
    "tests/spec/test_energy_vectors.py",
    *(
        f"tests/bridge/energy/test_{name}.py"
        for name in ("formulas", "geometry", "methods", "pair_energy", "tangents", "derivatives", "pairs")
    ),
    "tests/bridge/test_potential.py",
    "tests/bridge/energy/test_other_forms.py",
    "tests/bridge/test_overrides.py",
)
_ENERGY_FRAMEWORKS = ("torch", "torch._dynamo", "jax", "scipy.interpolate")
_ENERGY = Subject((*_ENERGY_TESTS, _chosen(*_SLOW_OR_LATER)), _ENERGY_FRAMEWORKS)
# What guards against NaN matters to JAX, where a derivative has other limits than in PyTorch.
_GUARDS = Subject((*_ENERGY_TESTS, _chosen(*_SLOW_OR_LATER, but="automatic_derivatives_at_degenerate")))
_SITES = Subject(
    (
        *("tests/bridge/energy/test_virtual_sites.py", "tests/bridge/test_virtual_sites.py"),
        "tests/spec/test_energy_vectors.py",
        _chosen(*_SLOW_OR_LATER),
    )
)
_TANGENTS = Subject(
    (
        *("tests/bridge/energy/test_tangents.py", "tests/spec/test_energy_vectors.py"),
        *("tests/bridge/test_potential.py", "tests/bridge/energy/test_other_forms.py"),
        _chosen(*_SLOW_OR_LATER),
    )
)

_SUBJECTS = {
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
            "methods",
            "mixing",
            "nonbonded",
            "overrides",
            "pair_energy",
            "pairs",
            "total",
        )
    },
    "ffbridge.energy.geometry": _GUARDS,
    "ffbridge.energy.vectors": _GUARDS,
    "ffbridge.energy.virtual_sites": _SITES,
    "ffbridge.energy.tangents": _TANGENTS,
}


def _with_house_rules(name: str, subject: Subject) -> Subject:
    where = f"bridge/{name.replace('.', '/')}.py"
    return replace(subject, tests=(*subject.tests, f"tests/house/test_modules.py::test_data_are_frozen[{where}]"))


MODULES = {name: _with_house_rules(name, subject) for name, subject in _SUBJECTS.items()}
