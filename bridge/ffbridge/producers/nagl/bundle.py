"""Bundles of NAGL's charges alone: the electrostatics of molecules as a function of a model's weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.bundle import Bundle
from ffbridge.errors import UnsupportedError
from ffbridge.exchange import share
from ffbridge.forms import form
from ffbridge.mapping import Identity
from ffbridge.producers.molecules import join_systems
from ffbridge.producers.openff.topology import read_topology
from ffbridge.table import Table
from ffbridge.term import Exceptions, Term
from ffbridge.units import COULOMB_CONSTANT

from .charges import nagl_charges

__all__ = ["from_nagl"]


def from_nagl(
    molecules: Any | Sequence[Any],
    model: Any = None,
    *,
    one_four: float = 0.8333333333,
    readout: str | None = None,
    lookup_table: bool = True,
    check_domain: bool = True,
    dtype: str = "float64",
) -> Bundle:
    """Return the bundle of the electrostatics that NAGL's charges make, with PyTorch tensors as arrays.

    With a model of yours, the table is a function of its weights: a loss of the bundle's energy has gradients to them.
    To train on, or to put the charges into a bundle with all other terms, take :func:`ffbridge.nagl_charges`, which
    computes features once.

    Args:
        molecules: an OpenFF ``Molecule`` (one system), a sequence of them (one system each), or a ``Topology`` without
            a box (one system of all its molecules).
        model: an ``openff.nagl.GNNModel``, the name of a published one, or None for ``openff-gnn-am1bcc-1.0.0.pt``; the
            latter two without gradients.
        one_four: the fraction of their energy that atoms three bonds apart keep; nearer ones keep nothing. The default
            is that of OpenFF's force fields.
        readout: name of the model's readout that gives charges; may be None if it has one only.
        lookup_table: take the charges of molecules that the model's lookup table has from there, as NAGL does.
        check_domain: refuse molecules outside the chemical domain that the model states.
        dtype: floating-point type of the arrays. The network runs in single precision.

    Raises:
        MissingDependencyError: openff-nagl or DGL is not installed.
        UnsupportedError: as for :func:`ffbridge.nagl_charges`, or the topology has a box.
    """
    charges = nagl_charges(
        molecules, model, readout=readout, lookup_table=lookup_table, check_domain=check_domain, dtype=dtype
    )
    if any(topology.box_vectors is not None for topology in charges.topologies):
        raise UnsupportedError(
            "from_nagl: the topology has a box, and charges say no method for periodic systems; set "
            "topology.box_vectors = None, or put the charges into a bundle that has one: nagl_charges(…).into(bundle)"
        )
    device = str(next(charges.model.parameters()).device)

    def own(array: NDArray[Any], kind: str = "int32") -> Any:
        return share(array.astype(kind), "torch", device=device).array

    joined = join_systems([read_topology(topology) for topology in charges.topologies])
    n_atoms = len(joined.atomic_numbers)
    declared = form("coulomb")
    empty = Table(values=own(np.zeros((n_atoms, 1)), dtype), columns=declared.column_names, units=declared.units)
    return charges.into(
        Bundle(
            system_offsets=own(joined.offsets),
            atomic_numbers=own(joined.atomic_numbers),
            masses=own(joined.masses, dtype),
            bonds=own(joined.bonds),
            terms={
                "electrostatics": Term(
                    form="coulomb",
                    indices=own(np.arange(n_atoms)[:, None]),
                    table="electrostatics",
                    mapping=Identity(),
                    settings={"method": "no_cutoff", "coulomb_constant": COULOMB_CONSTANT},
                )
            },
            tables={"electrostatics": empty},
            exceptions=Exceptions(
                pairs=own(joined.pairs),
                kept_charge=own(np.where(joined.separations == 3, one_four, 0.0), dtype),
                kept_lj=own(np.where(joined.separations == 3, 0.5, 0.0), dtype),
            ),
            system_names=joined.names,
            provenance=_provenance(lookup_table),
        )
    )


def _provenance(lookup_table: bool) -> dict[str, Any]:
    import openff.nagl
    import openff.toolkit

    return {
        "producer": "ffbridge.from_nagl",
        "versions": {"openff-nagl": openff.nagl.__version__, "openff-toolkit": openff.toolkit.__version__},
        "lookup_table": lookup_table,
    }
