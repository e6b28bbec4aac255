"""Energy vectors: every engine gives the energies, forces and dU/dtables of an independent program."""

from __future__ import annotations

import numpy as np
import pytest

from ffbridge import Bundle, potential, validate
from ffbridge.errors import UnsupportedError
from ffbridge_spec import vectors

from .load import arrays_of, load, to_numpy

ENERGY = load("energy")
ENGINES = ("numpy", "torch", "jax")


@pytest.fixture(params=ENGINES)
def engine(request):
    pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    return request.param


def assert_close(found, expected, tolerance, what):
    """Within the tolerance, relative to the largest value; infinite values are equal."""
    found, expected = np.asarray(found), to_numpy(expected)
    assert found.shape == expected.shape
    assert not np.isnan(expected).any()
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(found[~finite], expected[~finite], err_msg=what)
    scale = max(np.abs(expected[finite]).max(initial=0), 1.0)
    np.testing.assert_allclose(found[finite], expected[finite], rtol=0, atol=tolerance * scale, err_msg=what)


def evaluate(vector, engine, host="numpy"):
    bundle = Bundle.from_parts(vector["document"], arrays_of(vector))
    validate(bundle)
    try:
        U = potential(bundle, engine=engine, host=host)
    except UnsupportedError as error:
        pytest.skip(f"the engine refuses what it cannot evaluate exactly: {error}")
    return U, to_numpy(vector["positions"])


@pytest.mark.parametrize("name", ENERGY)
def test_energies(name, engine):
    vector = ENERGY[name]
    U, x = evaluate(vector, engine)
    by_term = U.by_term(x)
    if "energies" in vector:
        assert set(by_term) == set(vector["energies"])
    for term, expected in vector.get("energies", {}).items():
        assert_close(by_term[term], expected, vector["tolerance"], term)
    if "total" in vector:
        assert_close(U(x), vector["total"], vector["tolerance"], "total")


@pytest.mark.parametrize("name", ENERGY)
def test_forces_and_table_derivatives(name, engine):
    vector = ENERGY[name]
    U, x = evaluate(vector, engine)
    _, forces, tables = U.value_and_grad(x)
    assert_close(forces, vector["forces"], vector["tolerance"], "forces")
    for table, expected in vector.get("tables", {}).items():
        assert_close(tables[table], expected, vector["tolerance"], f"tables/{table}")


@pytest.mark.parametrize("name", ENERGY)
def test_derivatives_by_autograd(name):
    """PyTorch's own, of its energies, where the test before meets formulas; those of second order are finite."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    vector = ENERGY[name]
    U, x = evaluate(vector, "torch", host="torch")
    x = torch.tensor(x, requires_grad=True)
    tables = {name: torch.tensor(table.values, requires_grad=True) for name, table in U.bundle.tables.items()}
    inputs, options = (x, *tables.values()), {"create_graph": True, "materialize_grads": True}
    by_x, *by_table = torch.autograd.grad(U(x, tables).sum(), inputs, **options)
    assert_close(-by_x.detach(), vector["forces"], vector["tolerance"], "forces")
    by_table = dict(zip(tables, by_table, strict=True))
    for table, expected in vector.get("tables", {}).items():
        assert_close(by_table[table].detach(), expected, vector["tolerance"], f"tables/{table}")
    along = torch.tensor(np.random.default_rng(4).normal(size=x.shape))
    for second in torch.autograd.grad((by_x * along).sum(), inputs, **options):
        assert torch.isfinite(second).all()


def test_vectors_are_those_that_the_scripts_make():
    """But for the copied ones: those of OpenMM, run again, and those by hand."""
    pytest.importorskip("openmm", reason="OpenMM is not installed")
    from .make_vectors import energy

    made = energy.vectors()
    assert set(made) == set(ENERGY)
    for name, vector in made.items():
        figures = {"energies", "forces", "tables"} & set(vector)
        assert figures
        assert {part: vector[part] for part in vector if part not in figures} == {
            part: ENERGY[name][part] for part in ENERGY[name] if part not in figures
        }
        for part in figures:
            found, expected = vector[part], ENERGY[name][part]
            for key in expected if part != "forces" else [None]:
                again, stored = (found, expected) if key is None else (found[key], expected[key])
                assert_close(to_numpy(again), stored, 1e-13, f"{name}/{part}/{key}")


def test_vectors_are_small():
    sizes = {path.name: len(path.read_bytes()) for path in vectors("energy").iterdir()}
    assert max(sizes.values()) < 200_000, sizes
