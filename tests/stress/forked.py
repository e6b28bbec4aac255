"""A process that forks workers, begun by tests: ``python -m tests.stress.forked CASE``. It prints what they found."""

from __future__ import annotations

import multiprocessing
import sys
import warnings

import ffbridge as fb
from ffbridge.errors import ExchangeError
from tests.stress.work import Conformers, bundle, evaluated, exchanged, positions, scope


def pool() -> str:
    """Workers of a pool have the same results as this process, which has used the engines before."""
    jobs = [(engine, seed) for engine in ("numpy", "native", "torch") for seed in range(4)]
    here = [evaluated(*job) for job in jobs]
    there = exchanged(1, "torch")
    with multiprocessing.get_context("fork").Pool(2) as workers:
        assert workers.starmap(evaluated, jobs) == here
        assert workers.apply(exchanged, (1, "torch")) == there
    return "same"


def loader() -> str:
    """So have those of a torch DataLoader."""
    import torch

    torch.set_num_threads(1)
    data = Conformers("torch", "native")
    here = torch.stack([data[seed] for seed in range(len(data))])
    batches = torch.utils.data.DataLoader(data, batch_size=3, num_workers=2, multiprocessing_context="fork", timeout=60)
    assert torch.equal(torch.cat(list(batches)), here)
    return "same"


def _refusals(queue, U, hosted, x) -> None:
    """Every way into JAX that a worker may take."""
    ways = {
        "to": lambda: fb.to(positions(0).astype("float32"), "jax"),
        "from": lambda: fb.to(x, "numpy"),
        "call": lambda: U(positions(0)),
        "call with its own array": lambda: U(x),
        "lambda module": lambda: hosted(fb.to(positions(0), "torch")),
        "potential": lambda: fb.potential(bundle(), engine="jax", host="torch"),
    }
    found = {}
    for name, way in ways.items():
        try:
            with scope("jax"):
                way()
            found[name] = "nothing"
        except ExchangeError as error:
            found[name] = str(error)
    found["numpy"] = evaluated("numpy", 3) and "same"
    queue.put(found)


def after_jax() -> str:
    """Where JAX was used before, a forked worker is refused it and has the others."""
    import jax
    import torch

    torch.set_num_threads(1)
    with scope("jax"):
        U, x = fb.potential(bundle(), engine="jax"), jax.numpy.asarray(positions(0))
        U(x).block_until_ready()
        hosted = fb.potential(bundle(), engine="jax", host="torch")
        hosted(positions(0))
    # JAX warns of the fork: that is what this is about.
    warnings.filterwarnings("ignore", message="os.fork", category=RuntimeWarning)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    worker = context.Process(target=_refusals, args=(queue, U, hosted, x), daemon=True)
    worker.start()
    found = queue.get(timeout=60)
    worker.join(10)
    return "\n".join(f"{name}: {text}" for name, text in found.items())


def before_jax() -> str:
    """Where JAX is imported but was not used, forked workers use it."""
    import jax

    assert "jax" in sys.modules
    assert jax.__version__
    with multiprocessing.get_context("fork").Pool(2) as workers:
        there = workers.map_async(_jax_energy, range(2)).get(timeout=100)
    assert there == [evaluated("jax", seed) for seed in range(2)]
    return "same"


def _jax_energy(seed: int) -> bytes:
    return evaluated("jax", seed)


if __name__ == "__main__":
    print({"pool": pool, "loader": loader, "after_jax": after_jax, "before_jax": before_jax}[sys.argv[1]]())
