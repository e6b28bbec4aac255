"""Terms that OpenMM's ``NonbondedForce`` evaluates: Lennard-Jones, Coulomb, or one of each."""

from __future__ import annotations

from collections.abc import Sequence
from math import isclose, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.bundle import Bundle
from ffbridge.errors import UnsupportedError
from ffbridge.exporters.openmm.methods import configure
from ffbridge.exporters.openmm.parameters import Floats, mix, of_atoms, pairs_of
from ffbridge.term import Term

__all__ = ["OPENMM_COULOMB_CONSTANT", "NonbondedForce", "exceptional_pairs"]

OPENMM_COULOMB_CONSTANT = 138.93545764438198
"""OpenMM's 1/(4 pi eps0) [kJ nm/(mol e^2)], ``ONE_4PI_EPS0`` in its sources."""


class NonbondedForce:
    """A Lennard-Jones term, a Coulomb term or both as one ``openmm.NonbondedForce``.

    OpenMM has one Coulomb constant. Where the term has another, the charges are multiplied by the root of the ratio of
    the two constants, which gives the term's own energies.

    Args:
        bundle: one system, of NumPy arrays.
        parameters: of the interactions of these terms, by name.
        lennard_jones: name of the Lennard-Jones term, if there is one.
        coulomb: name of the Coulomb term, if there is one.
        pairs: names of terms of ``lennard_jones_pair`` and ``coulomb_pair`` whose interactions its exceptions are to
            have; see `exceptional_pairs`.

    Attributes:
        forces: the ``openmm.Force``, in a tuple.

    Raises:
        UnsupportedError: a dispersion correction is over some of the atoms only, or Ewald sums are in a box that is not
            rectangular.
    """

    def __init__(
        self,
        bundle: Bundle,
        parameters: dict[str, Floats],
        *,
        lennard_jones: str | None = None,
        coulomb: str | None = None,
        pairs: Sequence[str] = (),
    ) -> None:
        import openmm

        self._lennard_jones, self._coulomb = lennard_jones, coulomb
        self._own = {name: (bundle.terms[name], _places(bundle, bundle.terms[name])) for name in pairs}
        self._terms = {name: bundle.terms[name] for name in (lennard_jones, coulomb) if name is not None}
        self._exceptions, self._n_atoms = bundle.exceptions, bundle.n_atoms
        self._pairs = pairs_of(bundle.exceptions)
        settings = {term.form: term.settings for term in self._terms.values()}
        for name, term in self._terms.items():
            _refuse(name, term, bundle)
        self._force = openmm.NonbondedForce()
        self.forces = (self._force,)
        configure(
            self._force,
            lennard_jones=settings.get("lennard_jones"),
            coulomb=settings.get("coulomb"),
            box=None if bundle.box is None else bundle.box[0],
        )
        self._atoms, self._exceptional = self._values(parameters)
        for values in self._atoms.tolist():
            self._force.addParticle(*values)
        for pair, values in zip(self._pairs.tolist(), self._exceptional.tolist(), strict=True):
            self._force.addException(*pair, *values)

    def update(self, context: Any, parameters: dict[str, Floats]) -> None:
        """Set parameters by name of the term, and those that changed in a Context of the System."""
        atoms, exceptional = self._values(parameters)
        rows = np.flatnonzero((atoms != self._atoms).any(axis=1))
        pairs = np.flatnonzero((exceptional != self._exceptional).any(axis=1))
        for row, values in zip(rows.tolist(), atoms[rows].tolist(), strict=True):
            self._force.setParticleParameters(row, *values)
        for row, values in zip(pairs.tolist(), exceptional[pairs].tolist(), strict=True):
            self._force.setExceptionParameters(row, *self._pairs[row].tolist(), *values)
        # A Context is made for those interactions that are not zero: no update brings others into it.
        same = np.array_equal(_present(atoms), _present(self._atoms)) and np.array_equal(
            exceptional[:, [0, 2]] != 0, self._exceptional[:, [0, 2]] != 0
        )
        self._atoms, self._exceptional = atoms, exceptional
        if not same:
            context.reinitialize()
        elif len(rows) or len(pairs):
            self._force.updateParametersInContext(context)

    def _values(self, parameters: dict[str, Floats]) -> tuple[Floats, Floats]:
        """Return charge, sigma, epsilon of atoms; and charge product, sigma, epsilon of exceptions."""
        atoms, exceptional = np.zeros((self._n_atoms, 3)), np.zeros((len(self._pairs), 3))
        if self._coulomb is not None:
            term = self._terms[self._coulomb]
            charges = of_atoms(term, parameters[self._coulomb], self._n_atoms)[:, 0] * _scale(term)
            atoms[:, 0] = charges
            if self._exceptions is not None:
                exceptional[:, 0] = self._exceptions.kept_charge * np.prod(charges[self._pairs], axis=1)
        if self._lennard_jones is not None:
            term = self._terms[self._lennard_jones]
            atoms[:, 1:] = of_atoms(term, parameters[self._lennard_jones], self._n_atoms)
            if self._exceptions is not None:
                exceptional[:, 1:] = mix(term, atoms[:, 1:], self._pairs)
                exceptional[:, 2] *= self._exceptions.kept_lj
        for name, (term, places) in self._own.items():
            if term.form == "coulomb_pair":
                exceptional[places, :1] = parameters[name] * _scale(term) ** 2
            else:
                exceptional[places, 1:] = parameters[name]
        return atoms, exceptional


def exceptional_pairs(bundle: Bundle, parameters: dict[str, Floats]) -> tuple[str, ...]:
    """Return the terms of pairs with parameters of their own that exceptions of one NonbondedForce can have.

    Those are terms of pairs that are left out of the nonbonded terms, each once, and without a negative epsilon, which
    OpenMM refuses there.
    """
    taken: dict[str, list[Any]] = {"kept_lj": [], "kept_charge": []}
    names = []
    for name, term in bundle.terms.items():
        fraction = _FRACTION_OF_PAIR.get(term.form)
        if fraction is None or bundle.exceptions is None:
            continue
        places = _places(bundle, term)
        left_out = (places >= 0) & (getattr(bundle.exceptions, fraction)[places] == 0)
        together = np.concatenate([*taken[fraction], places])
        allowed = term.form == "coulomb_pair" or (parameters[name][:, 1] >= 0).all()
        if allowed and left_out.all() and len(np.unique(together)) == len(together):
            taken[fraction].append(places)
            names.append(name)
    return tuple(names)


_FRACTION_OF_PAIR = {"lennard_jones_pair": "kept_lj", "coulomb_pair": "kept_charge"}


def _places(bundle: Bundle, term: Term) -> NDArray[np.int64]:
    """Return which exception each pair of a term is, -1 for none."""
    exceptions, pairs = (np.sort(each, axis=1) for each in (pairs_of(bundle.exceptions), term.indices))
    ranks, wanted = (each[:, 0].astype(np.int64) * bundle.n_atoms + each[:, 1] for each in (exceptions, pairs))
    order = np.argsort(ranks)
    if not len(order):
        return np.full(len(wanted), -1)
    found = order[np.minimum(np.searchsorted(ranks[order], wanted), len(order) - 1)]
    return np.where(ranks[found] == wanted, found, -1)


def _present(atoms: Floats) -> Any:
    """Return whether any atom has a charge, and whether any has a depth."""
    return (atoms[:, [0, 2]] != 0).any(axis=0)


def _scale(term: Term) -> float:
    """Return what charges are multiplied by to have the term's energies with OpenMM's constant."""
    constant = float(term.settings["coulomb_constant"])
    same = isclose(constant, OPENMM_COULOMB_CONSTANT, rel_tol=4 * np.finfo(float).eps)
    return 1.0 if same else sqrt(constant / OPENMM_COULOMB_CONSTANT)


def _refuse(name: str, term: Term, bundle: Bundle) -> None:
    settings = term.settings
    if settings.get("dispersion_correction") and settings["periodic"] and len(term) != bundle.n_atoms:
        raise UnsupportedError(
            f"terms/{name}/settings/dispersion_correction: the term has {len(term)} of {bundle.n_atoms} atoms, and "
            "OpenMM's NonbondedForce averages over all atoms. Give the others epsilon 0, or set dispersion_correction "
            "to false, if that is meant: both change the energy"
        )
    if settings["method"] == "ewald" and bundle.box is not None and np.tril(bundle.box[0], -1).any():
        raise UnsupportedError(
            f"terms/{name}/settings/method: OpenMM has Ewald sums for rectangular boxes only. Set the method to 'pme', "
            "which is the same sum"
        )
