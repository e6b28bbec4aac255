"""From plain arrays to a bundle, for programs that no other producer knows."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.bundle import Bundle
from ffbridge.errors import BundleError
from ffbridge.exchange import share
from ffbridge.forms import Form, form
from ffbridge.mapping import Identity, Linear, Mapping, Select
from ffbridge.producers.connectivity import pairs_by_separation
from ffbridge.table import ParameterKey, Table
from ffbridge.term import Constraints, Exceptions, Overrides, Term
from ffbridge.units import COULOMB_CONSTANT
from ffbridge.validate import validate

__all__ = ["TermArrays", "from_arrays"]

Array = Any
Numbers = Any
"""An array of any framework, or a sequence of numbers."""


@dataclass(frozen=True, eq=False)
class TermArrays:
    """Interactions of one form and their parameters, as :func:`from_arrays` takes them.

    Attributes:
        form: the form, such as ``harmonic_bond``; :func:`ffbridge.forms.forms` lists them with their columns and units.
        parameters: the columns of the form by name, each ``(n_params,)``, or ``(n_params, size, size)`` where a column
            is declared with a shape, as the maps of ``cmap`` are; or all of them in the form's order,
            ``(n_params, n_columns)``. Units as the form declares them: nm, kJ/mol, rad, e.
        indices: ``(n_terms, arity)``, the atoms of each interaction, or a virtual site and its parents. A nonbonded
            form may leave them out: all atoms.
        mapping: which row of the parameters each interaction has, ``(n_terms,)`` of int; or a mapping of another kind.
            Without it, row i is that of interaction i.
        settings: of a nonbonded form, in addition to the defaults: ``method`` ``no_cutoff``, and for ``coulomb``
            ``coulomb_constant`` of CODATA 2018. ``lennard_jones`` and others need a ``mixing_rule``, ``cmap`` needs its
            ``size``.
        keys: where each row comes from, ``(n_params,)``, all different.
        overrides: of a nonbonded form, pairs of rows that are not mixed (NBFIX), ``(n_overrides, 2)``, in any order.
        override_parameters: the parameters of these pairs, given as `parameters` are. They become a table of the term's
            name with ``_overrides`` after it.
    """

    form: str
    parameters: MappingABC[str, Numbers] | Numbers
    indices: Numbers | None = None
    mapping: Numbers | Mapping | None = None
    settings: MappingABC[str, Any] = field(default_factory=dict)
    keys: Sequence[ParameterKey] | None = None
    overrides: Numbers | None = None
    override_parameters: MappingABC[str, Numbers] | Numbers | None = None


def from_arrays(
    *,
    atomic_numbers: Numbers | None = None,
    n_atoms: int | None = None,
    terms: MappingABC[str, TermArrays] | None = None,
    bonds: Numbers | None = None,
    kept_charge: Sequence[float] | None = None,
    kept_lj: Sequence[float] | None = None,
    exceptions: Exceptions | None = None,
    masses: Numbers | None = None,
    box: Numbers | None = None,
    constraints: Constraints | None = None,
    system_offsets: Numbers | None = None,
    system_names: Sequence[str] | None = None,
    provenance: MappingABC[str, Any] | None = None,
) -> Bundle:
    """Return the bundle that plain arrays describe. Everything but the number of atoms is optional.

    Arrays may be of any framework, or lists. Indices become int32 and real numbers float64, in NumPy; units are nm,
    kJ/mol, rad, e and Da. A water molecule, its two bonds with the same parameters::

        import numpy as np

        import ffbridge as fb

        water = fb.from_arrays(
            atomic_numbers=[8, 1, 1],
            bonds=[[0, 1], [0, 2]],
            kept_charge=(0, 0, 5 / 6),  # of the Coulomb energy of 1-2, 1-3 and 1-4 pairs
            kept_lj=(0, 0, 1 / 2),
            terms={
                "bonds": fb.TermArrays(
                    "harmonic_bond",
                    indices=[[0, 1], [0, 2]],
                    parameters={"k": [462750.4], "length": [0.09572]},
                    mapping=[0, 0],  # both bonds have row 0
                ),
                "angles": fb.TermArrays(
                    "harmonic_angle", indices=[[1, 0, 2]], parameters={"k": [836.8], "angle": [1.82421813418]}
                ),
                "vdw": fb.TermArrays(
                    "lennard_jones",
                    parameters={"sigma": [0.315, 0.1, 0.1], "epsilon": [0.635, 0.0, 0.0]},
                    settings={"mixing_rule": "lorentz_berthelot"},
                ),
                "electrostatics": fb.TermArrays("coulomb", parameters={"charge": [-0.834, 0.417, 0.417]}),
            },
        )
        x = [[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [-0.03, 0.09, 0.0]]
        energy = fb.potential(water, engine="numpy")(np.array(x))

    Each term has a table of its own name. Parameters are values: where gradients shall flow into a tensor, make the
    bundle of its values, and pass the tensor to the potential (``U(x, {"bonds": tensor})``), or put it into the bundle
    (``bundle.to("torch").replace_table("bonds", tensor)``).

    Args:
        atomic_numbers: ``(n_atoms,)``, 0 for a particle that is no atom. 0 for all if only `n_atoms` is given.
        n_atoms: number of atoms, where there are no atomic numbers.
        terms: interactions by name. Virtual sites are terms too, such as a fourth point of water on the bisector:
            ``fb.TermArrays("out_of_plane_site", indices=[[3, 0, 1, 2]], parameters={"weight_12": [0.106676721],
            "weight_13": [0.106676721], "weight_cross": [0]})``, first the site, then its parents.
        bonds: ``(n_bonds, 2)``, the covalent bonds: topology, which has no energy.
        kept_charge: fractions of the Coulomb energy that pairs keep whose shortest path is 1, 2 and 3 bonds. Exceptions
            are made of these and of `bonds`; both `kept_charge` and `kept_lj` are needed for it.
        kept_lj: fractions of the van der Waals energy likewise.
        exceptions: exceptions as they are, instead of those made from bonds.
        masses: ``(n_atoms,)`` [Da].
        box: ``(3, 3)`` or ``(n_systems, 3, 3)`` [nm], box vectors as rows.
        constraints: distances that are held fixed.
        system_offsets: ``(n_systems + 1,)``: system s has the atoms ``system_offsets[s]:system_offsets[s + 1]``. One
            system if not given.
        system_names: one name for each system.
        provenance: where it all comes from, as plain JSON; added to what this function states.

    Raises:
        BundleError: arrays are missing, or of another shape or kind of number than they should be.
        ExchangeError: an array carries a gradient or is being traced.
        UnknownNameError: a form that the standard does not have.
        ValidationError: the result does not follow the standard; each fault is listed.
    """
    numbers = _atoms(atomic_numbers, n_atoms)
    bond_array = None if bonds is None else _integers("bonds", bonds, columns=2)
    made, tables = _terms(terms or {}, len(numbers))
    bundle = Bundle(
        system_offsets=_integers("system_offsets", [0, len(numbers)] if system_offsets is None else system_offsets),
        atomic_numbers=numbers,
        terms=made,
        tables=tables,
        exceptions=_exceptions(exceptions, bond_array, len(numbers), kept_charge, kept_lj),
        masses=None if masses is None else _reals("masses", masses),
        bonds=bond_array,
        box=None if box is None else _reals("box", box).reshape(-1, 3, 3),
        constraints=_group("constraints", constraints),
        system_names=None if system_names is None else tuple(system_names),
        provenance={"producer": "ffbridge.from_arrays"} | dict(provenance or {}),
    )
    validate(bundle)
    return bundle


def _atoms(atomic_numbers: Numbers | None, n_atoms: int | None) -> NDArray[np.int32]:
    if atomic_numbers is None:
        if n_atoms is None:
            raise BundleError("atomic_numbers: missing; give them, or n_atoms if the particles have no elements")
        return np.zeros(n_atoms, dtype=np.int32)
    numbers = _integers("atomic_numbers", atomic_numbers)
    if n_atoms is not None and n_atoms != len(numbers):
        raise BundleError(f"n_atoms: got {n_atoms}, and there are {len(numbers)} atomic_numbers")
    return numbers


def _terms(terms: MappingABC[str, TermArrays], n_atoms: int) -> tuple[dict[str, Term], dict[str, Table]]:
    made, tables = {}, {}
    for name, given in terms.items():
        made[name], tables[name] = _term(name, given, n_atoms)
    for name, given in terms.items():
        if given.overrides is None and given.override_parameters is None:
            continue
        overrides, table = _overrides(name, given, made[name])
        if overrides.table in tables:
            raise BundleError(
                f"terms/{overrides.table}: a term of this name has its table so too, which is that of the overrides of "
                f"{name!r}; give the term another name"
            )
        made[name], tables[overrides.table] = replace(made[name], overrides=overrides), table
    return made, tables


def _term(name: str, given: TermArrays, n_atoms: int) -> tuple[Term, Table]:
    declared = form(given.form)
    path = f"terms/{name}"
    if given.indices is not None:
        indices = _integers(f"{path}/indices", given.indices, columns=declared.arity)
    elif declared.kind == "nonbonded":
        indices = np.arange(n_atoms, dtype=np.int32)[:, None]
    else:
        raise BundleError(f"{path}/indices: missing; {given.form} has {declared.arity} atoms for each interaction")
    settings = _settings(declared, given.settings)
    if missing := sorted({setting for column in declared.columns for setting in column.shape} - set(settings)):
        raise BundleError(f"{path}/settings: {', '.join(missing)} missing; the columns of {given.form} depend on it")
    columns = declared.columns_for(settings)
    table = Table(
        values=_parameters(name, given.parameters, declared, declared.lengths(settings)),
        columns=tuple(column.name for column in columns),
        units=tuple(column.unit for column in columns),
        keys=None if given.keys is None else tuple(given.keys),
    )
    term = Term(
        form=given.form,
        indices=indices,
        table=name,
        mapping=_mapping(f"{path}/mapping", given.mapping),
        settings=settings,
    )
    return term, table


def _overrides(name: str, given: TermArrays, term: Term) -> tuple[Overrides, Table]:
    """Return the overrides of a term, and their table."""
    path, declared = f"terms/{name}/overrides", form(given.form)
    if given.overrides is None or given.override_parameters is None:
        raise BundleError(f"{path}: overrides are pairs of rows and override_parameters, got only one of the two")
    pairs = np.sort(_integers(path, given.overrides, columns=2), axis=1)
    overrides = Overrides(f"{name}_overrides", pairs)
    columns = declared.columns_for(term.settings)
    values = _parameters(overrides.table, given.override_parameters, declared, declared.lengths(term.settings))
    names, units = tuple(column.name for column in columns), tuple(column.unit for column in columns)
    return overrides, Table(values, names, units)


def _parameters(name: str, parameters: Any, declared: Form, lengths: Sequence[tuple[int, ...]]) -> NDArray[np.float64]:
    path, columns = f"tables/{name}", declared.column_names
    if not isinstance(parameters, MappingABC):
        return _reals(path, parameters, columns=sum(map(prod, lengths)))
    if parameters.keys() != set(columns):
        raise BundleError(
            f"{path}: got the columns {', '.join(sorted(parameters))}; {declared.name} has "
            + ", ".join(f"{column.name} [{column.unit}]" for column in declared.columns)
        )
    values = [_reals(f"{path}/{column}", parameters[column]) for column in columns]
    n_params = len(values[0]) if values[0].ndim else 0
    expected = [(n_params, *each) for each in lengths]
    if [value.shape for value in values] != expected:
        shapes = ", ".join(f"{column} {value.shape}" for column, value in zip(columns, values, strict=True))
        after = f", with {lengths[0]} after it" if any(lengths) else ""
        raise BundleError(f"{path}: columns are one-dimensional and of one length{after}, found the shapes {shapes}")
    parts = [np.reshape(value, (n_params, prod(each))) for value, each in zip(values, lengths, strict=True)]
    return np.concatenate(parts, axis=1)


def _mapping(path: str, mapping: Any) -> Mapping:
    if mapping is None or isinstance(mapping, Identity):
        return Identity()
    if isinstance(mapping, Linear):
        return Linear(
            offsets=_integers(f"{path}/offsets", mapping.offsets),
            columns=_integers(f"{path}/columns", mapping.columns),
            weights=_reals(f"{path}/weights", mapping.weights),
        )
    return Select(_integers(f"{path}/index", mapping.index if isinstance(mapping, Select) else mapping))


def _settings(declared: Form, given: MappingABC[str, Any]) -> dict[str, Any]:
    if declared.kind != "nonbonded":
        return dict(given)
    constant = {"coulomb_constant": COULOMB_CONSTANT} if "coulomb_constant" in declared.settings else {}
    return {"method": "no_cutoff"} | constant | dict(given)


def _exceptions(
    exceptions: Exceptions | None,
    bonds: NDArray[np.int32] | None,
    n_atoms: int,
    kept_charge: Sequence[float] | None,
    kept_lj: Sequence[float] | None,
) -> Exceptions | None:
    if kept_charge is None and kept_lj is None:
        return None if exceptions is None else _group("exceptions", exceptions)
    if exceptions is not None or bonds is None or kept_charge is None or kept_lj is None:
        raise BundleError(
            "kept_charge, kept_lj: exceptions are made from bonds, kept_charge and kept_lj together, and only where no "
            "exceptions are given"
        )
    fractions = {"kept_charge": _reals("kept_charge", kept_charge), "kept_lj": _reals("kept_lj", kept_lj)}
    for name, values in fractions.items():
        if values.shape != (3,):
            raise BundleError(f"{name}: got the shape {values.shape}, expected three fractions: of 1-2, 1-3, 1-4 pairs")
    if bonds.size and (bonds.min() < 0 or bonds.max() >= n_atoms):
        raise BundleError(f"bonds: atoms must be in [0, {n_atoms}), found {bonds.min()} to {bonds.max()}")
    pairs, separations = pairs_by_separation(bonds.astype(np.int64), n_atoms)
    kept = {name: values[separations - 1] for name, values in fractions.items()}
    return Exceptions(pairs=pairs.astype(np.int32), **kept)


def _group(path: str, group: Any) -> Any:
    """Return exceptions or constraints with their arrays converted; None stays None."""
    if group is None:
        return None
    read = {name: _integers if name == "pairs" else _reals for name in vars(group)}
    return type(group)(**{name: read[name](f"{path}/{name}", array) for name, array in vars(group).items()})


def _integers(path: str, numbers: Any, *, columns: int | None = None) -> NDArray[np.int32]:
    """Return numbers as int32; no numbers have no kind, so that an empty list will do.

    Raises:
        BundleError: they are no whole numbers, out of range, or of another shape.
    """
    array = _numpy(path, numbers)
    if array.size and array.dtype.kind not in "iu":
        raise BundleError(f"{path}: got {array.dtype} numbers, expected whole ones; cast them if they are")
    if array.size and (array.min() < np.iinfo(np.int32).min or array.max() > np.iinfo(np.int32).max):
        raise BundleError(f"{path}: a number between {array.min()} and {array.max()} does not fit into int32")
    return _shaped(path, array, columns).astype(np.int32)


def _reals(path: str, numbers: Any, *, columns: int | None = None) -> NDArray[np.float64]:
    """Return numbers as float64.

    Raises:
        BundleError: they are no real numbers, or of another shape.
    """
    array = _numpy(path, numbers)
    if array.dtype.kind not in "fiu":
        raise BundleError(f"{path}: got {array.dtype} values, expected real numbers")
    return _shaped(path, array, columns).astype(np.float64)


def _shaped(path: str, array: NDArray[Any], columns: int | None) -> NDArray[Any]:
    if columns is None:
        return array
    if not array.size and array.ndim < 2:
        return array.reshape(0, columns)
    if array.ndim != 2 or array.shape[1] != columns:
        raise BundleError(f"{path}: got the shape {array.shape}, expected (n, {columns})")
    return array


def _numpy(path: str, numbers: Any) -> NDArray[Any]:
    if not isinstance(numbers, (list, tuple, range)):
        return np.asarray(share(numbers, "numpy", device="cpu").array)
    try:
        return np.asarray(numbers)
    except ValueError as error:
        raise BundleError(f"{path}: the rows are of different lengths: {error}") from error
