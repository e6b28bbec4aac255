"""A process that starts new ones, begun by tests: ``python -m tests.stress.spawned CASE METHOD ENGINE …``.

New processes get what they work with as pickles: bundles, and potentials with their engines.
"""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import ffbridge as fb
from tests.stress.work import Conformers, bundle, energies_of, positions


def pool(method: str, *engines: str) -> str:
    """Bundles and potentials as arguments of workers, and bundles as their results."""
    with TemporaryDirectory() as folder:
        fb.save(bundle(), Path(folder) / "one.ffb")
        read = fb.load(Path(folder) / "one.ffb")
    potentials = [fb.potential(read, engine=engine) for engine in engines]
    jobs = [(U, positions(seed, 2)) for seed in range(2) for U in potentials]
    here = [energies_of(*job) for job in jobs]
    with multiprocessing.get_context(method).Pool(2) as workers:
        assert workers.starmap(energies_of, jobs) == here
        (back,) = workers.map(_frozen, [read])
        assert back.content_hash == read.content_hash
    return "same"


def _frozen(given: fb.Bundle) -> fb.Bundle:
    """Give back a bundle that came as one of a file: nothing of it can be written."""
    assert not any(array.flags.writeable for array in given.arrays().values())
    return given


def loader(method: str, *engines: str) -> str:
    """A torch DataLoader whose data set holds a bundle in torch's memory, and potentials."""
    import torch

    data = Conformers(*engines)
    data.bundle = bundle().to("torch")
    here = torch.stack([data[seed] for seed in range(len(data))])
    batches = torch.utils.data.DataLoader(
        data, batch_size=3, num_workers=2, multiprocessing_context=method, timeout=200
    )
    assert torch.equal(torch.cat(list(batches)), here)
    return "same"


if __name__ == "__main__":
    print({"pool": pool, "loader": loader}[sys.argv[1]](*sys.argv[2:]))
