/** Tables against forms, mappings, overrides (2.2, 4, 5.5), and the weights of models (8). */

import { rows } from "../arrays.js";
import { fingerprint } from "../hash.js";
import { canonical } from "../json.js";
import { FORMS, columnsOf } from "../standard.js";
import { fault, faultsInRows } from "./fault.js";
import { ROUNDING, repeated } from "./topology.js";

export function parameterFaults(document, arrays) {
  const found = [...keyFaults(document, arrays), ...modelFaults(document, arrays)];
  const told = new Set();
  for (const [name, term] of Object.entries(document.terms)) {
    const form = FORMS.get(term.form);
    if (!form) {
      found.push(fault(`terms/${name}/form`, "I-1"));
      continue;
    }
    const columns = columnsOf(form, term.settings);
    const tables = [term.table, ...(term.overrides === undefined ? [] : [term.overrides])];
    const wrong = columns ? tables.flatMap((table) => columnFaults(table, document.tables[table], columns)) : [];
    found.push(...wrong);
    // Where the columns of a table are not those of the form, nothing can be said of their values.
    const known = columns && !wrong.length ? columns : [];
    tables.forEach((table, place) => {
      const results = place === 0 && term.mapping === "linear";
      const key = `${table} ${term.form} ${results}`;
      if (!told.has(key)) found.push(...valueFaults(table, arrays[`tables/${table}/values`], known, results));
      told.add(key);
    });
    found.push(...mappingFaults(name, term, known, arrays));
    if (term.overrides !== undefined) found.push(...overrideFaults(name, term, form, arrays));
  }
  return found;
}

function keyFaults(document, arrays) {
  return Object.entries(document.tables).flatMap(([name, { keys }]) => {
    const values = arrays[`tables/${name}/values`];
    if (!keys) return [];
    if (values && keys.length !== values.shape[0]) return [fault(`tables/${name}/keys`, "T-3")];
    return faultsInRows(`tables/${name}/keys`, "T-4", repeated(keys.map((key) => [canonical(key)])));
  });
}

function modelFaults(document, arrays) {
  return Object.entries(document.models ?? {}).flatMap(([name, { sha256 }]) => {
    const prefix = `models/${name}/`;
    const weights = Object.entries(arrays).filter(([path]) => path.startsWith(prefix));
    const named = Object.fromEntries(weights.map(([path, array]) => [path.slice(prefix.length), array]));
    return weights.length && sha256 && fingerprint(named) !== sha256 ? [fault(`models/${name}/sha256`, "P-3")] : [];
  });
}

function columnFaults(name, table, columns) {
  const has = (member, part) => table[member].join("\n") === columns.map((column) => column[part]).join("\n");
  if (!has("columns", "name")) return [fault(`tables/${name}/columns`, "T-1")];
  return has("units", "unit") ? [] : [fault(`tables/${name}/units`, "T-2")];
}

/** T-6 and T-7, but for minima of the results of a linear mapping, which hold for these. */
function valueFaults(name, values, columns, results) {
  if (!values) return [];
  const path = `tables/${name}/values`;
  const each = (test) => rows(values).map((row) => columns.some((column, place) => test(column, row[place])));
  return [
    ...faultsInRows(path, "T-6", each(({ integer }, value) => integer && Number.isFinite(value) && value % 1 !== 0)),
    ...faultsInRows(path, "T-7", each(({ integer, minimum }, value) => (integer || !results) && value < minimum)),
  ];
}

function mappingFaults(name, term, columns, arrays) {
  const path = `terms/${name}/mapping`;
  const [values, indices] = [arrays[`tables/${term.table}/values`], arrays[`terms/${name}/indices`]];
  if (!values) return [];
  const inside = (row) => row >= 0 && row < values.shape[0];
  if (term.mapping === "identity") {
    return indices && indices.shape[0] !== values.shape[0] ? [fault(path, "M-2")] : [];
  }
  if (term.mapping === "select") {
    const chosen = arrays[`${path}/index`]?.values ?? [];
    return faultsInRows(`${path}/index`, "M-3", chosen.map((row) => !inside(row)));
  }
  const [offsets, entries, weights] = ["offsets", "columns", "weights"].map((part) => arrays[`${path}/${part}`]?.values);
  if (!offsets || !entries || !weights) return [];
  const grows = offsets.every((offset, place) => place === 0 || offset >= offsets[place - 1]);
  if (offsets[0] !== 0 || offsets.at(-1) !== entries.length || !grows) return [fault(`${path}/offsets`, "M-4")];
  const outside = faultsInRows(`${path}/columns`, "M-5", entries.map((row) => !inside(row)));
  if (outside.length) return outside;
  const table = rows(values);
  const sums = offsets.slice(1).map((stop, row) =>
    range(offsets[row], stop).map((entry) => ({ weight: weights[entry], row: table[entries[entry]] })));
  return columns.flatMap((column, place) => sumFaults(path, column, place, sums));
}

const range = (start, stop) => Array.from({ length: stop - start }, (_, place) => start + place);
const total = (numbers) => numbers.reduce((all, each) => all + each, 0);

function sumFaults(path, { integer, minimum }, place, sums) {
  if (integer) {
    const scaled = sums.map((parts) => Math.abs(total(parts.map(({ weight }) => weight)) - 1) > ROUNDING);
    const mixed = sums.map((parts) => new Set(parts.filter(({ weight }) => weight).map(({ row }) => row[place])).size > 1);
    return [...faultsInRows(`${path}/weights`, "M-6", scaled), ...faultsInRows(`${path}/columns`, "M-6", mixed)];
  }
  if (minimum === undefined) return [];
  const below = sums.map((parts) => {
    const terms = parts.map(({ weight, row }) => weight * row[place]);
    return total(terms) < minimum - ROUNDING * total(terms.map(Math.abs));
  });
  return faultsInRows(path, "T-7", below);
}

function overrideFaults(name, { mapping, table, settings = {} }, { mixing_rules: mixing }, arrays) {
  const path = `terms/${name}/overrides`;
  if (!mixing || mapping === "linear" || settings.method === "ljpme") return [fault(path, "O-2")];
  const [pairs, values] = [arrays[`${path}/pairs`], arrays[`tables/${table}/values`]];
  if (!pairs || !values) return [];
  const list = rows(pairs);
  const again = repeated(list);
  const wrong = list.map(([one, other], row) => one < 0 || other >= values.shape[0] || one > other || again[row]);
  return faultsInRows(`${path}/pairs`, "O-3", wrong);
}
