/** Which arrays there are, their dtypes, shapes and finiteness (2.4). */

import { FORMS } from "../standard.js";
import { fault, faultsInRows } from "./fault.js";

const INDEX = ["int32"];
const REAL = ["float64", "float32"];
const WEIGHT = [
  "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "bfloat16", "float32",
  "float64",
];

const REQUIRED = { system_offsets: [INDEX, ["n_systems+1"]], atomic_numbers: [INDEX, ["n_atoms"]] };
const OPTIONAL = {
  masses: [REAL, ["n_atoms"]],
  bonds: [INDEX, ["n_bonds", 2]],
  box: [REAL, ["n_systems", 3, 3]],
};
const GROUPS = {
  exceptions: {
    pairs: [INDEX, ["n_exceptions", 2]],
    kept_charge: [REAL, ["n_exceptions"]],
    kept_lj: [REAL, ["n_exceptions"]],
  },
  constraints: { pairs: [INDEX, ["n_constraints", 2]], lengths: [REAL, ["n_constraints"]] },
};

/** Returns what is said of every array of a bundle but weights: its dtypes and its shape, in which names are lengths. */
function expectedArrays(document, arrays) {
  const expected = { ...REQUIRED };
  for (const [path, about] of Object.entries(OPTIONAL)) if (path in arrays) expected[path] = about;
  for (const [group, parts] of Object.entries(GROUPS)) {
    if (!Object.keys(arrays).some((path) => path.startsWith(`${group}/`))) continue;
    for (const [part, about] of Object.entries(parts)) expected[`${group}/${part}`] = about;
  }
  for (const [name, table] of Object.entries(document.tables)) {
    expected[`tables/${name}/values`] = [REAL, [`rows of ${name}`, table.columns.length]];
  }
  for (const [name, term] of Object.entries(document.terms)) {
    const [rows, entries] = [`interactions of ${name}`, `entries of ${name}`];
    expected[`terms/${name}/indices`] = [INDEX, [rows, FORMS.get(term.form)?.arity ?? `arity of ${term.form}`]];
    if (term.overrides !== undefined) {
      expected[`terms/${name}/overrides/pairs`] = [INDEX, [`rows of ${term.overrides}`, 2]];
    }
    const mapping = `terms/${name}/mapping`;
    if (term.mapping === "select") expected[`${mapping}/index`] = [INDEX, [rows]];
    if (term.mapping === "linear") {
      const dtype = arrays[`tables/${term.table}/values`]?.dtype;
      expected[`${mapping}/offsets`] = [INDEX, [`${rows}+1`]];
      expected[`${mapping}/columns`] = [INDEX, [entries]];
      expected[`${mapping}/weights`] = [dtype ? [dtype] : REAL, [entries]];
    }
  }
  return expected;
}

function isWeight(path, document) {
  const [, model, weight] = /^models\/([^/]*)\/(.+)$/s.exec(path) ?? [];
  return weight !== undefined && Object.hasOwn(document.models ?? {}, model);
}

/** Returns the faults, and the arrays whose place, dtype and shape are right. */
export function layoutFaults(document, arrays) {
  const expected = expectedArrays(document, arrays);
  const [faults, sound, lengths] = [[], {}, new Map()];
  for (const [path, [dtypes, shape]] of Object.entries(expected)) {
    const array = arrays[path];
    if (!array) faults.push(fault(path, "A-1"));
    else if (!dtypes.includes(array.dtype)) faults.push(fault(path, "A-2"));
    else if (!fits(array.shape, shape, lengths)) faults.push(fault(path, "A-3"));
    else sound[path] = array;
  }
  for (const [path, array] of Object.entries(arrays)) {
    if (path in expected) {
      if (REAL.includes(array.dtype)) faults.push(...notFinite(path, array));
    } else if (!isWeight(path, document)) faults.push(fault(path, "A-1"));
    else if (!WEIGHT.includes(array.dtype)) faults.push(fault(path, "A-2"));
    else sound[path] = array;
  }
  return { faults, sound };
}

function fits(shape, wanted, lengths) {
  if (shape.length !== wanted.length) return false;
  return wanted.every((size, axis) => {
    if (typeof size === "number") return shape[axis] === size;
    const [name, extra] = size.split("+");
    const length = shape[axis] - Number(extra ?? 0);
    if (!lengths.has(name)) lengths.set(name, length);
    return length >= 0 && lengths.get(name) === length;
  });
}

function notFinite(path, { shape, values }) {
  const width = values.length / (shape[0] || 1);
  const bad = Array.from({ length: shape[0] }, (_, row) =>
    values.slice(row * width, (row + 1) * width).some((value) => !Number.isFinite(value)));
  return faultsInRows(path, "A-4", bad);
}
