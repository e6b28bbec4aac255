"""Virtual sites of waters against OpenMM: positions, energies, forces, derivatives to tables, in every framework."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import BundleError, ExchangeError, UnknownNameError, UnsupportedError, ValidationError
from tests.bridge.samples import BACKENDS, bundle, framework

openmm = pytest.importorskip("openmm", reason="OpenMM is not installed")

from openmm import app, unit  # noqa: E402

from ffbridge.exporters.openmm import to_openmm  # noqa: E402
from ffbridge.producers.openmm import from_openmm  # noqa: E402
from tests.bridge.exporters.openmm_reference import relative  # noqa: E402

DATA = Path(app.__file__).parent / "data"
WATERS = {
    "tip4pew": ("tip4pew.pdb", "amber14/tip4pew.xml", "out_of_plane_sites"),
    "tip5p": ("tip5p.pdb", "tip5p.xml", "out_of_plane_sites"),
}
N_WATERS = 8


@cache
def cluster(name):
    """The System of some flexible waters in vacuum, all pairs interacting; its bundle; positions, sites placed."""
    file, force_field, _ = WATERS[name]
    model = app.PDBFile(str(DATA / file))
    model = app.Modeller(model.topology, model.positions)
    model.delete(list(model.topology.residues())[N_WATERS:])
    system = app.ForceField(force_field).createSystem(model.topology, constraints=None, rigidWater=False)
    x = np.array(model.positions.value_in_unit(unit.nanometer))
    x[~is_site(system)] += np.random.default_rng(1).normal(scale=0.003, size=x.shape)[~is_site(system)]
    return system, from_openmm(system, model.topology, merge=True), Placed(system).place(x)


def is_site(system):
    return np.array([system.isVirtualSite(atom) for atom in range(system.getNumParticles())])


class Placed:
    """A System that places its virtual sites before it evaluates."""

    def __init__(self, system):
        platform = openmm.Platform.getPlatformByName("Reference")
        self.context = openmm.Context(system, openmm.VerletIntegrator(1e-3), platform)
        self.sites = is_site(system)

    def place(self, x):
        self.context.setPositions(x)
        self.context.computeVirtualSites()
        return np.array(self.context.getState(positions=True).getPositions(asNumpy=True)._value)

    def __call__(self, x):
        """Energy [kJ/mol] and forces [kJ/mol/nm]; OpenMM gives the force of a site to its parents and reports both."""
        self.place(x)
        state = self.context.getState(energy=True, forces=True)
        forces = np.array(state.getForces(asNumpy=True)._value)
        forces[self.sites] = 0
        return state.getPotentialEnergy()._value, forces


@pytest.fixture(params=WATERS)
def water(request):
    return cluster(request.param)


def scattered(x, system):
    """Positions whose virtual sites are anywhere."""
    moved = x.copy()
    moved[is_site(system)] = 77.0
    return moved


@pytest.mark.parametrize("backend", BACKENDS)
def test_sites_are_where_openmm_has_them(water, backend):
    system, source, x = water
    with framework(backend):
        given = fb.to(np.stack([scattered(x, system), scattered(x, system) + 1.5]), backend)
        found = fb.place_virtual_sites(source, given)
        assert type(found) is type(given)
        np.testing.assert_allclose(np.asarray(found[0]), x, rtol=0, atol=1e-14)
        np.testing.assert_allclose(np.asarray(found[1]), x + 1.5, rtol=0, atol=1e-14)


@pytest.mark.parametrize("engine", [*BACKENDS, "openmm"])
def test_energies_and_forces_are_those_of_openmm(water, engine):
    system, source, x = water
    expected, expected_forces = Placed(system)(x)
    with framework("jax" if engine == "jax" else "numpy"):
        found = fb.potential(source, engine, host="numpy").value_and_grad(scattered(x, system))
    np.testing.assert_allclose(found.energy[0], expected, rtol=1e-9)
    assert relative(found.forces, expected_forces) <= 1e-9
    assert not found.forces[is_site(system)].any()


def test_energies_of_terms_leave_sites_out(water):
    system, source, x = water
    by_term = fb.potential(source, "torch", host="numpy").by_term(x)
    assert by_term.keys() == source.energy_terms.keys()
    assert set(source.terms) - by_term.keys() == {"out_of_plane_sites"} == source.virtual_sites.keys()
    assert sum(energy[0] for energy in by_term.values()) == pytest.approx(Placed(system)(x)[0], rel=1e-12)


@pytest.mark.parametrize("engine", BACKENDS)
def test_derivatives_to_tables_are_differences_of_openmms_energy(water, engine):
    """Each table along a direction of its own: the geometry of sites, charges, Lennard-Jones, bonds."""
    system, source, x = water
    assert Placed(to_openmm(source))(x)[0] == pytest.approx(Placed(system)(x)[0], rel=1e-12)
    with framework("jax" if engine == "jax" else "numpy"):
        found = fb.potential(source, engine, host="numpy").value_and_grad(x).tables
    for name, table in source.tables.items():
        direction = np.random.default_rng(3).uniform(0.5, 1, size=table.values.shape) * np.abs(table.values)
        step = 1e-5
        ends = [
            Placed(to_openmm(source.replace_table(name, table.values + sign * step * direction)))(x)[0]
            for sign in (1, -1)
        ]
        slope = (ends[0] - ends[1]) / (2 * step)
        assert abs(slope) > 0.1
        assert np.sum(found[name] * direction) == pytest.approx(slope, rel=1e-6), name


@pytest.mark.parametrize(("engine", "host"), [("numpy", "torch"), ("jax", "torch"), ("openmm", "torch")])
def test_gradients_through_lambda_modules(water, engine, host):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    _, source, x = water
    expected = fb.potential(source, "numpy").value_and_grad(x)
    options = {"table_gradients": "numpy"} if engine == "openmm" else {}
    U = fb.potential(source, engine, host=host, **options)
    leaf = torch.tensor(x, requires_grad=True)
    geometry = torch.tensor(source.table("out_of_plane_sites").values, requires_grad=True)
    energy = U(leaf, {"out_of_plane_sites": geometry})
    energy.sum().backward()
    np.testing.assert_allclose(energy.detach(), expected.energy, rtol=1e-12)
    assert relative(-leaf.grad, expected.forces) <= 1e-10
    assert relative(geometry.grad, expected.tables["out_of_plane_sites"]) <= 1e-10


def test_second_derivatives_agree(water):
    """Hessian-vector products, and how forces change with the geometry, of PyTorch and of JAX."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    _, source, x = water
    geometry = source.table("out_of_plane_sites").values
    rng = np.random.default_rng(5)
    tangents = rng.normal(size=x.shape), rng.normal(size=geometry.shape)

    U = fb.potential(source, "torch")
    leaves = [torch.tensor(value, requires_grad=True) for value in (x, geometry)]
    slopes = torch.autograd.grad(U(leaves[0], {"out_of_plane_sites": leaves[1]}).sum(), leaves, create_graph=True)
    along = sum((slope * torch.tensor(tangent)).sum() for slope, tangent in zip(slopes, tangents, strict=True))
    ours = torch.autograd.grad(along, leaves)
    with framework("jax"):
        import jax

        V = fb.potential(source, "jax")
        slopes = jax.grad(lambda x, geometry: V(x, {"out_of_plane_sites": geometry}).sum(), argnums=(0, 1))
        theirs = jax.jvp(slopes, (x, geometry), tangents)[1]
    for one, other in zip(ours, theirs, strict=True):
        assert relative(one, other) <= 1e-10


def test_derivatives_of_second_order_are_those_of_differences():
    """Of the vector that has every form, to positions and to all tables at once."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    source, x = vector()
    U = fb.potential(source, "torch")
    names = list(source.tables)
    leaves = [torch.tensor(value, requires_grad=True) for value in (x, *(source.table(n).values for n in names))]

    def energy(x, *tables):
        return U(x, dict(zip(names, tables, strict=True))) / 1e4

    assert torch.autograd.gradcheck(energy, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(energy, leaves, fast_mode=True, atol=1e-4)


def vector():
    from tests.spec.load import load, to_numpy

    return bundle("virtual_sites", "energy"), to_numpy(load("energy")["virtual_sites"]["positions"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_batches_of_conformers_and_systems(backend):
    """Two kinds of water in one batch, in three conformers: each as by itself."""
    parts, at = zip(*(cluster(name)[1:] for name in WATERS), strict=True)
    parts = [rename(part, name) for part, name in zip(parts, WATERS, strict=True)]
    shifts = np.array([0, 0.5, 1])[:, None, None]
    with framework(backend):
        whole = fb.concatenate([part.to(backend) for part in parts])
        x = np.concatenate(at) + shifts
        found = fb.potential(whole).value_and_grad(fb.to(x, backend))
        energies, forces = np.asarray(found.energy), np.asarray(found.forces)
        again = [
            np.asarray(fb.potential(each)(fb.to(at[i] + 0, backend)))[0] for i, each in enumerate(fb.separate(whole))
        ]
    for number, (part, positions) in enumerate(zip(parts, at, strict=True)):
        alone = fb.potential(part, "numpy").value_and_grad(positions)
        np.testing.assert_allclose(energies[:, number], np.repeat(alone.energy, 3), rtol=1e-10)
        assert again[number] == pytest.approx(alone.energy[0], rel=1e-12)
        start = sum(other.n_atoms for other in parts[:number])
        assert relative(forces[1, start : start + part.n_atoms], alone.forces) <= 1e-9


def rename(source, prefix):
    """The bundle with terms and tables of names of their own."""
    terms = {f"{prefix}_{name}": replace(term, table=f"{prefix}_{term.table}") for name, term in source.terms.items()}
    return replace(source, terms=terms, tables={f"{prefix}_{name}": table for name, table in source.tables.items()})


def test_single_precision(water):
    _, source, x = water
    narrow, expected = source.to("numpy", dtype="float32"), fb.potential(source, "numpy").value_and_grad(x)
    for engine in ("numpy", "torch", "openmm"):
        found = fb.potential(narrow, engine, host="numpy").value_and_grad(x.astype(np.float32))
        assert found.forces.dtype == np.float32
        np.testing.assert_allclose(found.energy, expected.energy, rtol=1e-3)
        assert relative(found.forces, expected.forces) <= 1e-3
    assert fb.place_virtual_sites(narrow, x.astype(np.float32)).dtype == np.float32


def test_geometries_are_tables_like_others(tmp_path):
    """They are saved and loaded, selected for a fit, replaced, and shared by key."""
    source, x = vector()
    fb.save(source, tmp_path / "sites.ffb")
    loaded = fb.load(tmp_path / "sites.ffb")
    assert loaded.content_hash == source.content_hash
    chosen = fb.trainable(loaded, {"frames": {"z": None}, "points": ["distance"]})
    np.testing.assert_array_equal(chosen.initial, [0.02, -0.01, 0, -0.05])
    moved = chosen.tables(chosen.initial + 0.01)
    placed = fb.place_virtual_sites(loaded, x, moved)
    replaced = loaded
    for name, values in moved.items():
        replaced = replaced.replace_table(name, values)
    np.testing.assert_array_equal(placed, fb.place_virtual_sites(replaced, x))
    np.testing.assert_array_equal(fb.potential(loaded)(x, moved), fb.potential(replaced)(x))
    assert np.abs(placed - fb.place_virtual_sites(loaded, x)).max() == pytest.approx(0.01, rel=0.1)
    forces = np.random.default_rng(1).normal(size=(2, 3))
    np.testing.assert_array_equal(loaded.pullback("lone_pairs", forces), forces)


def test_gradients_of_positions_flow_to_parents_and_geometry():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    source, x = vector()
    leaf = torch.tensor(x[0], requires_grad=True)
    frames = torch.tensor(source.table("frames").values, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda *at: fb.place_virtual_sites(source, at[0], {"frames": at[1]}), [leaf, frames]
    )
    fb.place_virtual_sites(source, leaf, {"frames": frames})[7].sum().backward()
    assert leaf.grad[[0, 1, 3]].abs().sum(axis=1).min() > 0
    assert not leaf.grad[[2, 7]].any()
    assert not frames.grad[1].any()


def test_placement_inside_transformations_of_jax():
    """Traced positions and tables, and a bundle of JAX arrays."""
    source, x = vector()
    with framework("jax"):
        import jax

        moved = source.to("jax")
        weights = np.random.default_rng(1).normal(size=x.shape)
        expected = fb.place_virtual_sites(source, x)

        def loss(x, frames):
            return (weights * fb.place_virtual_sites(moved, x, {"frames": frames})).sum()

        found = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(x, source.table("frames").values)
    np.testing.assert_allclose(found[0], (weights * expected).sum(), rtol=1e-12)
    sites = np.concatenate([term.indices[:, 0] for term in source.virtual_sites.values()])
    assert not np.asarray(found[1][0])[:, sites].any()
    # A frame's axes have the length 1: the derivative is the weight along them.
    assert 0 < np.linalg.norm(found[1][1][1]) < np.abs(weights).sum()


def test_a_bundle_without_sites_is_left_alone():
    source, x = bundle("bonds", "energy"), np.random.default_rng(1).normal(size=(4, 3))
    assert fb.place_virtual_sites(source, x) is x
    assert source.virtual_sites == {}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda b, x: fb.place_virtual_sites(b, x[0, :9]), BundleError, r"positions: got shape \(9, 3\), expected"),
        (
            lambda b, x: fb.place_virtual_sites(b, x, {"frames": np.zeros((3, 3))}),
            BundleError,
            r"tables/frames: got shape \(3, 3\), expected \(2, 3\): columns are x, y, z",
        ),
        (
            lambda b, x: fb.place_virtual_sites(b, x, {"frame": np.zeros((2, 3))}),
            UnknownNameError,
            "no table 'frame'; it has: bonds, electrostatics, frames",
        ),
        (
            lambda b, x: fb.place_virtual_sites(b, x.astype(np.float32)),
            ExchangeError,
            "positions: got float32, and tables/points is float64: cast one of them",
        ),
        (
            lambda b, x: fb.place_virtual_sites(replace(b, masses=np.ones(3)), x),
            ValidationError,
            "A-3",
        ),
        (
            lambda b, x: fb.to_timemachine(fb.separate(b)[0]),
            UnsupportedError,
            "terms/points: timemachine has no potential of the form 'two_particle_site'",
        ),
        (
            lambda b, x: to_openmm(replace(fb.separate(b)[0], masses=np.ones(9))),
            UnsupportedError,
            "masses: the virtual site 5 has the mass 1 Da, and a virtual site has none in OpenMM: set it to 0",
        ),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call(*vector())


def test_forms_that_are_not_placed_are_refused(monkeypatch):
    """A form of sites that a later version of the standard has, and this program not yet."""
    from ffbridge.energy.virtual_sites import SITES
    from ffbridge.exporters.openmm.virtual_sites import _CLASSES

    source, _ = vector()
    monkeypatch.delitem(SITES, "out_of_plane_site")
    with pytest.raises(
        UnsupportedError, match="terms/planes: the array engines do not place sites of the form 'out_of"
    ):
        fb.potential(source, "numpy")
    monkeypatch.delitem(_CLASSES, "out_of_plane_site")
    with pytest.raises(UnsupportedError, match="terms/planes: OpenMM has no virtual sites of the form 'out_of_plane"):
        to_openmm(replace(fb.separate(source)[0], masses=np.zeros(9)))
