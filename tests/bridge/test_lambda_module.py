"""Lambda modules: every engine in every host's automatic differentiation, against analytic and native derivatives."""

import threading
import warnings

import jax
import numpy as np
import pytest
from jax.test_util import check_grads

import ffbridge as fb
from ffbridge_backends.compiled.jax import compile_energies
from tests.bridge.bundles import random_bundle, zigzag

psutil = pytest.importorskip("psutil", reason="psutil is not installed")
torch = pytest.importorskip("torch", reason="torch is not installed")

ENGINES = ("numpy", "torch", "jax")
PAIRS = [(engine, host) for engine in ENGINES for host in ENGINES]
TABLES = ("coulomb", "harmonic_bond")


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def bundle():
    return random_bundle(np.random.default_rng(11))


@pytest.fixture
def x():
    return zigzag(np.random.default_rng(12), 3)


@pytest.fixture
def tables(bundle):
    return {name: bundle.tables[name].values * 1.01 for name in TABLES}


def close(found, expected, tolerance=1e-11):
    found, expected = np.asarray(found), np.asarray(expected)
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("engine", "host"), PAIRS)
def test_values_and_first_derivatives(bundle, x, tables, engine, host):
    U = fb.potential(bundle, engine=engine, host=host)
    expected = fb.potential(bundle, engine="numpy")
    take = lambda array: fb.to(array, host, copy=True)  # noqa: E731
    here, given = take(x), {name: take(table) for name, table in tables.items()}
    energy = U(here, given)
    assert fb.registry.backend_of(energy).name == host
    close(energy, expected(x, tables))
    terms = expected.by_term(x, tables)
    for name, value in U.by_term(here, given).items():
        close(value, terms[name])
    found, analytic = U.value_and_grad(here, given), expected.value_and_grad(x, tables)
    close(found.energy, analytic.energy)
    close(found.forces, analytic.forces)
    assert set(found.tables) == set(bundle.tables)
    for name, gradient in found.tables.items():
        assert fb.registry.backend_of(gradient).name == host
        close(gradient, analytic.tables[name])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("engine", "host"), [*PAIRS, ("native", "torch"), ("native", "jax")])
def test_no_conformers_have_no_energies(bundle, engine, host):
    U, x = fb.potential(bundle, engine=engine, host=host), fb.to(np.zeros((2, 0, 11, 3)), host)
    energy, forces = U.energy_and_forces(x)
    assert tuple(energy.shape) == tuple(U(x).shape) == (2, 0, 2)
    assert tuple(forces.shape) == (2, 0, 11, 3)
    assert {tuple(each.shape) for each in U.by_term(x).values()} == {(2, 0, 2)}
    if host == "torch":
        x.requires_grad_()
        charges = torch.tensor(bundle.tables["coulomb"].values, requires_grad=True)
        U(x, {"coulomb": charges}).sum().backward()
        assert tuple(x.grad.shape) == (2, 0, 11, 3)
        assert not charges.grad.any()


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("engine", "host"), PAIRS)
@pytest.mark.parametrize(("given", "batch"), [((), ()), (TABLES, (2, 1))])
def test_energy_and_forces_alone(bundle, x, tables, engine, host, given, batch):
    U = fb.potential(bundle, engine=engine, host=host)
    x = np.resize(x, (*batch, *x.shape[1:]))
    chosen = {name: tables[name] for name in given}
    energy, forces = U.energy_and_forces(
        fb.to(x, host, copy=True), {name: fb.to(table, host, copy=True) for name, table in chosen.items()}
    )
    expected = fb.potential(bundle, engine="numpy").value_and_grad(x, chosen)
    for found, analytic in ((energy, expected.energy), (forces, expected.forces)):
        assert fb.registry.backend_of(found).name == host
        assert found.shape == analytic.shape
        close(found, analytic)


def test_energy_and_forces_carry_no_gradient(bundle, x, tables):
    positions, charges = torch_inputs(x, tables)
    for engine in ENGINES:
        energy, forces = fb.potential(bundle, engine=engine, host="torch").energy_and_forces(
            positions, {"coulomb": charges}
        )
        assert not energy.requires_grad
        assert not forces.requires_grad


def weighted(bundle, engine, host):
    """A scalar that weights systems and conformers differently, so that no cotangent is uniform."""
    U = fb.potential(bundle, engine=engine, host=host)

    def loss(x, charges):
        energy = U(x, {"coulomb": charges})
        weights = np.linspace(0.5, 2.0, energy.shape[0] * energy.shape[1]).reshape(energy.shape)
        return (energy * fb.to(weights, host)).sum()

    return loss


def torch_inputs(x, tables):
    return tuple(torch.tensor(array, requires_grad=True) for array in (x, tables["coulomb"]))


def jax_inputs(x, tables):
    return jax.numpy.asarray(x), jax.numpy.asarray(tables["coulomb"])


@pytest.mark.parametrize("engine", ENGINES)
class TestTorchHost:
    def test_backward(self, bundle, x, tables, engine):
        found, expected = torch_inputs(x, tables), torch_inputs(x, tables)
        weighted(bundle, engine, "torch")(*found).backward()
        weighted(bundle, "torch", "torch")(*expected).backward()
        for one, other in zip(found, expected, strict=True):
            close(one.grad, other.grad)

    def test_gradients_of_one_term(self, bundle, x, engine):
        found = torch.tensor(x, requires_grad=True)
        fb.potential(bundle, engine=engine, host="torch").by_term(found)["vdw"].sum().backward()
        expected = torch.tensor(x, requires_grad=True)
        fb.potential(bundle, engine="torch").by_term(expected)["vdw"].sum().backward()
        close(found.grad, expected.grad)

    def test_gradients_of_tables_that_the_bundle_carries(self, bundle, x, engine):
        charges = torch.tensor(bundle.tables["coulomb"].values, requires_grad=True)
        carrying = bundle.to("torch").replace_table("coulomb", charges)
        fb.potential(carrying, engine=engine, host="torch")(x).sum().backward()
        close(charges.grad, fb.potential(bundle, engine="numpy").value_and_grad(x).tables["coulomb"])

    def test_no_grad_runs_the_energy_alone(self, bundle, x, engine, monkeypatch):
        U = fb.potential(bundle, engine=engine, host="torch")
        monkeypatch.setattr(torch.autograd, "grad", None)
        with torch.no_grad():
            assert not U(torch.tensor(x, requires_grad=True)).requires_grad

    def test_vmap_and_first_derivatives_of_torch_func(self, bundle, x, tables, engine):
        at = tuple(tensor.detach() for tensor in torch_inputs(x, tables))
        found, expected = weighted(bundle, engine, "torch"), weighted(bundle, "torch", "torch")
        close(torch.func.grad(found)(*at), torch.func.grad(expected)(*at))
        close(torch.func.vjp(found, *at)[1](torch.tensor(2.0).double())[1], torch.func.grad(expected, 1)(*at) * 2)
        each, whole = (fb.potential(bundle, engine=name, host="torch") for name in (engine, "torch"))
        close(torch.func.vmap(each)(at[0]), whole(at[0]))
        separate = torch.func.vmap(torch.func.grad(lambda x: each(x).sum()))(at[0])
        close(separate, -whole.value_and_grad(at[0]).forces)


@pytest.mark.parametrize("engine", ["jax", "torch"])
class TestSecondDerivativesInTorch:
    def test_gradcheck_and_gradgradcheck(self, bundle, x, tables, engine):
        loss = weighted(bundle, engine, "torch")
        inputs = torch_inputs(x[:1], tables)
        assert torch.autograd.gradcheck(loss, inputs, eps=1e-6, atol=1e-2, rtol=1e-5)
        assert torch.autograd.gradgradcheck(loss, inputs, eps=1e-6, atol=1e-1, rtol=1e-5)

    def test_hessians_and_mixed_derivatives(self, bundle, x, tables, engine):
        at = tuple(tensor.detach() for tensor in torch_inputs(x, tables))
        found, expected = weighted(bundle, engine, "torch"), weighted(bundle, "torch", "torch")
        for outer in (0, 1):
            for inner in (0, 1):
                mixed = [torch.func.jacfwd(torch.func.jacrev(f, inner), outer)(*at) for f in (found, expected)]
                close(*mixed)
        close(torch.func.hessian(found, 1)(*at), torch.func.hessian(expected, 1)(*at))
        close(torch.func.jvp(found, at, at)[1], torch.func.jvp(expected, at, at)[1])

    def test_force_matching(self, bundle, x, tables, engine):
        """The gradient of a loss on forces needs d²U/dx dθ."""
        gradients = []
        for name in (engine, "torch"):
            positions, charges = torch_inputs(x, tables)
            energy = fb.potential(bundle, engine=name, host="torch")(positions, {"coulomb": charges}).sum()
            (du_dx,) = torch.autograd.grad(energy, positions, create_graph=True)
            (du_dx**2).sum().backward()
            gradients.append((positions.grad, charges.grad))
        for found, expected in zip(*gradients, strict=True):
            close(found, expected)


def spring():
    """One harmonic bond along x: U = k/2 (r - l)², whose derivatives are known."""
    columns = (("k", "length"), ("kJ/mol/nm^2", "nm"))
    table = fb.Table(np.array([[1000.0, 0.1]]), *columns)
    term = fb.Term("harmonic_bond", np.array([[0, 1]], dtype=np.int32), "bonds", fb.Identity())
    offsets, numbers = np.array([0, 2], dtype=np.int32), np.array([6, 6], dtype=np.int32)
    return fb.Bundle(offsets, numbers, {"bonds": term}, {"bonds": table})


@pytest.mark.parametrize("engine", ["jax", "torch"])
def test_create_graph_gives_the_analytic_second_derivative(engine):
    U = fb.potential(spring(), engine=engine, host="torch")
    r = torch.tensor([0.13], dtype=torch.float64, requires_grad=True)
    x = torch.cat([torch.zeros(3).double(), r, torch.zeros(2).double()]).reshape(2, 3)
    loss = U(x).sum() ** 2 + r.sum() ** 3
    first = torch.autograd.grad(loss, r, create_graph=True)[0]
    second = torch.autograd.grad(first, r, create_graph=True)[0]
    third = torch.autograd.grad(second, r)[0]
    s, k = 0.03, 1000.0  # U² = k²/4 s⁴
    assert first.item() == pytest.approx(k**2 * s**3 + 3 * 0.13**2, rel=1e-12)
    assert second.item() == pytest.approx(3 * k**2 * s**2 + 6 * 0.13, rel=1e-12)
    assert third.item() == pytest.approx(6 * k**2 * s + 6, rel=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("engine", ["torch", "numpy"])
class TestJaxHost:
    def test_jax_grad_eager_and_jitted(self, bundle, x, tables, engine):
        at = jax_inputs(x, tables)
        found, expected = (jax.grad(weighted(bundle, name, "jax"), argnums=(0, 1)) for name in (engine, "jax"))
        for transform in (lambda f: f, jax.jit):
            for one, other in zip(transform(found)(*at), expected(*at), strict=True):
                close(one, other)

    def test_jax_vmap_over_conformers(self, bundle, x, tables, engine):
        positions, _ = jax_inputs(x, tables)
        U, expected = (fb.potential(bundle, engine=name, host="jax") for name in (engine, "jax"))
        close(jax.vmap(U)(positions), expected(positions))
        forces = jax.jit(jax.vmap(jax.grad(lambda x: U(x).sum())))(positions)
        close(forces, -expected.value_and_grad(positions).forces)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("engine", ["torch"])
class TestSecondDerivativesInJax:
    def test_jax_check_grads(self, bundle, x, tables, engine):
        positions, charges = jax_inputs(x[:1], tables)
        U = fb.potential(bundle, engine=engine, host="jax")
        # In units that make all derivatives of order one, which check_grads' tolerances are for.
        scaled = lambda s, q: 1e-3 * U(positions + 0.01 * s, {"coulomb": charges + 0.1 * q}).sum()  # noqa: E731
        check_grads(scaled, (0 * positions, 0 * charges), order=2, modes=["fwd", "rev"], rtol=1e-5, eps=1e-4)

    def test_jax_hessians_and_mixed_derivatives(self, bundle, x, tables, engine):
        at = jax_inputs(x, tables)
        found, expected = weighted(bundle, engine, "jax"), weighted(bundle, "jax", "jax")
        for inner, outer in ((0, 1), (1, 0), (1, 1)):
            mixed = [jax.jit(jax.jacfwd(jax.jacrev(f, inner), outer))(*at) for f in (found, expected)]
            close(*mixed)
            twice = [jax.jacrev(jax.grad(f, inner), outer)(*at) for f in (found, expected)]
            close(*twice)
        close(jax.hessian(found, 1)(*at), jax.hessian(expected, 1)(*at))
        close(jax.jvp(found, at, at)[1], jax.jvp(expected, at, at)[1])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "transform", [jax.grad, jax.hessian, lambda f: jax.vmap(jax.grad(f)), lambda f: jax.jacrev(jax.grad(f))]
)
def test_energies_that_cross_with_their_slope_in_jax(transform):
    """A single system, positions alone: energy and derivative come from one call, and are differentiable again."""
    x = jax.numpy.asarray(np.random.default_rng(0).normal(size=(3, 2, 3)))
    potentials = (fb.potential(spring(), engine=engine, host="jax") for engine in ("torch", "jax"))
    found, expected = (transform(lambda x, U=U: (U(x) ** 2).sum()) for U in potentials)
    close(found(x), expected(x))
    close(jax.jit(found)(x), expected(x))


@pytest.mark.parametrize("host", ["torch", "jax"])
def test_an_energy_with_forces_is_one_call_of_the_engine(host, monkeypatch):
    from ffbridge.first_order import FirstOrderSource

    paths = []
    run = FirstOrderSource.run
    monkeypatch.setattr(FirstOrderSource, "run", lambda self, path, *rest: paths.append(path) or run(self, path, *rest))
    x = np.random.default_rng(0).normal(size=(3, 2, 3))
    with jax.enable_x64(True):
        U = fb.potential(spring(), engine="numpy", host=host)
        if host == "torch":
            U(torch.tensor(x, requires_grad=True)).sum().backward()
        else:
            jax.block_until_ready(jax.jit(jax.value_and_grad(lambda x: U(x).sum()))(jax.numpy.asarray(x)))
        U.energy_and_forces(fb.to(x, host))
    assert paths == [("slope",), ("slope",)]


class TestRefusals:
    def test_second_derivatives_of_a_first_order_engine_in_torch(self, bundle, x):
        positions = torch.tensor(x, requires_grad=True)
        energy = fb.potential(bundle, engine="numpy", host="torch")(positions).sum()
        (gradient,) = torch.autograd.grad(energy, positions, create_graph=True)
        with pytest.raises(fb.errors.UnsupportedError, match="'numpy' has first derivatives .* second deriv"):
            gradient.sum().backward()

    @pytest.mark.usefixtures("x64")
    def test_second_derivatives_of_a_first_order_engine_in_jax(self, bundle, x):
        U = fb.potential(bundle, engine="numpy", host="jax")
        with pytest.raises(fb.errors.UnsupportedError, match="'numpy' has first derivatives"):
            jax.hessian(lambda x: U(x).sum())(jax.numpy.asarray(x))

    @pytest.mark.parametrize("engine", ["numpy", "jax", "torch"])
    def test_a_bundle_that_carries_a_gradient_of_another_framework_than_the_host(self, bundle, engine):
        charges = torch.tensor(bundle.tables["coulomb"].values, requires_grad=True)
        carrying = bundle.to("torch").replace_table("coulomb", charges)
        with pytest.raises(fb.errors.ExchangeError, match="requires grad.*detach"):
            fb.potential(carrying, engine=engine, host="numpy")

    @pytest.mark.usefixtures("x64")
    def test_a_traced_array_without_its_host(self, bundle, x):
        U = fb.potential(bundle, engine="torch")
        with pytest.raises(fb.errors.ExchangeError, match="being traced.*host='jax'"):
            jax.jit(U)(jax.numpy.asarray(x))

    @pytest.mark.usefixtures("x64")
    @pytest.mark.parametrize(("engine", "host"), PAIRS)
    def test_positions_that_are_not_finite(self, bundle, x, engine, host):
        x[1, 4, 2] = np.nan
        U = fb.potential(bundle, engine=engine, host=host)
        for call in (U, U.value_and_grad):
            with pytest.raises(fb.errors.BundleError, match=r"positions: NaN or infinite at index \(1, 4, 2\)"):
                call(x)

    def test_a_table_that_is_not_finite(self, bundle, x):
        values = bundle.tables["coulomb"].values.copy()
        values[3] = np.inf
        with pytest.raises(fb.errors.BundleError, match=r"tables/coulomb: NaN or infinite at index \(3, 0\)"):
            fb.potential(bundle, engine="numpy")(x, {"coulomb": values})

    def test_float64_under_a_jax_host_with_x64_off(self, bundle, x):
        U = fb.potential(bundle, engine="torch", host="jax")
        with pytest.raises(fb.errors.ExchangeError, match="jax_enable_x64"):
            U(x)


def test_torch_host_leaves_the_x64_flag_of_the_other_alone(bundle, x):
    assert not jax.config.jax_enable_x64
    energy = fb.potential(bundle, engine="jax", host="torch")(x)
    assert energy.dtype == torch.float64
    assert not jax.config.jax_enable_x64


def test_torch_compile_runs_around_a_lambda_module(bundle, x):
    U = fb.potential(bundle, engine="jax", host="torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own compiler
        compiled = torch.compile(lambda x: U(x * 1.0).sum() * 2.0, backend="eager")
        positions = torch.tensor(x, requires_grad=True)
        compiled(positions).backward()
    close(positions.grad, -2 * fb.potential(bundle, engine="numpy").value_and_grad(x).forces)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("host", ["torch", "jax"])
def test_few_conformer_counts_are_compiled(host):
    U = fb.potential(spring(), engine="jax", host=host)
    evaluator = U._evaluator if host == "jax" else U._evaluator._evaluator
    shared = compile_energies(evaluator.backend, evaluator.structure, evaluator.evaluate).value_and_grad
    shared.clear_cache()
    expected = fb.potential(spring(), engine="numpy")
    for n_conformers in range(1, 34):
        x = np.random.default_rng(n_conformers).normal(size=(n_conformers, 2, 3))
        close(U(x), expected(x))
        found, analytic = U.value_and_grad(x), expected.value_and_grad(x)
        close(found.forces, analytic.forces)
        close(found.tables["bonds"], analytic.tables["bonds"])
    assert 0 < shared._cache_size() <= 7  # 1, 2, 4, 8, 16, 32, 64 conformers


def test_threads_give_the_same_answers(bundle):
    U = fb.potential(bundle, engine="jax", host="torch")
    positions = [torch.tensor(zigzag(np.random.default_rng(seed), 2)) for seed in range(8)]
    expected = [U(x) for x in positions]
    failures = []

    def work(number):
        for _ in range(40):
            x = positions[number].clone().requires_grad_()
            energy = U(x)
            energy.sum().backward()
            if not torch.equal(energy, expected[number]) or not torch.isfinite(x.grad).all():
                failures.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_calls_leave_memory_where_it_was(bundle, x):
    U = fb.potential(bundle, engine="jax", host="torch")
    positions = torch.tensor(x)

    def work(calls):
        for _ in range(calls):
            U(positions.clone().requires_grad_()).sum().backward()

    work(500)
    before = psutil.Process().memory_info().rss
    work(2000)
    assert psutil.Process().memory_info().rss - before < 8 * 2**20
