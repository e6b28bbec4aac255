/** The reader against every vector of the standard. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";

import { fromVector } from "./arrays.js";
import { Unsupported, energies } from "./energy/index.js";
import { readFile } from "./file.js";
import { contentHash } from "./hash.js";
import { canonical, merged, parse } from "./json.js";
import { BundleError } from "./rules/fault.js";
import { faults } from "./rules/index.js";
import { FORMS, vectorFile, vectors } from "./standard.js";

const TOLERANCE = 1e-10;
const VALID = vectors("valid");

const arraysOf = (described) =>
  Object.fromEntries(Object.entries(described).map(([path, array]) => [path, fromVector(array)]));

for (const [name, { document, arrays: described, sha256 }] of VALID) {
  test(`valid/${name}`, () => {
    const arrays = arraysOf(described);
    assert.deepEqual(faults(document, arrays), []);
    assert.equal(contentHash(canonical(document), arrays), sha256);
    const file = vectorFile("valid", `${name}.ffb`);
    if (existsSync(file)) {
      const found = readFile(file);
      assert.deepEqual(found.document, document);
      assert.deepEqual(Object.keys(found.arrays).sort(), Object.keys(arrays).sort());
      for (const [path, { bytes }] of Object.entries(arrays)) assert.deepEqual(found.arrays[path].bytes, bytes, path);
    }
  });
}

for (const [name, vector] of vectors("invalid")) {
  test(`invalid/${name}`, () => {
    if (vector.file) {
      const path = vectorFile("invalid", vector.file);
      assert.throws(() => readFile(path), (error) => error instanceof BundleError && error.rule === vector.rule);
      if (vector.may_accept) assert.ok(readFile(path, { lenient: true }).document);
      return;
    }
    const base = VALID.get(vector.base);
    const described = Object.entries({ ...base.arrays, ...vector.arrays }).filter(([, array]) => array !== null);
    const found = faults(merged(base.document, vector.document ?? {}), arraysOf(Object.fromEntries(described)));
    const written = found.map(({ path, rows }) => `${path}${rows ? `[${rows.join(", ")}]` : ""}`);
    assert.ok(written.includes(vector.path), `${vector.path} is not among ${written.join(" ") || "no faults"}`);
    assert.deepEqual([...new Set(found.map(({ rule }) => rule))], [vector.rule]);
  });
}

/** Returns the numbers of a vector's array, (n_conformers, n_systems). */
const figures = ({ shape, ...array }) => {
  const { values } = fromVector({ shape, ...array });
  return Array.from({ length: shape[0] }, (_, row) => values.slice(row * shape[1], (row + 1) * shape[1]));
};

function assertClose(found, expected, what) {
  const finite = expected.flat().filter(Number.isFinite).map(Math.abs);
  const limit = TOLERANCE * Math.max(...finite, 1);
  expected.forEach((row, conformer) =>
    row.forEach((value, system) => {
      const here = found[conformer][system];
      const same = Number.isFinite(value) ? Math.abs(here - value) <= limit : here === value;
      assert.ok(same, `${what}: ${here}, expected ${value}, in conformer ${conformer}, system ${system}`);
    }));
}

/** Returns the document with those terms alone that the filter lets through, and the virtual sites. */
function only(document, filter) {
  const kept = Object.entries(document.terms).filter(([, { form }]) =>
    FORMS.get(form).kind === "virtual_site" || filter(FORMS.get(form)));
  return { ...document, terms: Object.fromEntries(kept) };
}

for (const [name, { document, arrays: described, positions, energies: byTerm = {}, total }] of vectors("energy")) {
  const arrays = arraysOf(described);
  const { shape, values } = fromVector(positions);
  const point = (conformer, atom) => values.slice(3 * (shape[1] * conformer + atom), 3 * (shape[1] * conformer + atom + 1));
  const conformers = Array.from({ length: shape[0] }, (_, conformer) =>
    Array.from({ length: shape[1] }, (_, atom) => point(conformer, atom)));
  const evaluate = (part) => conformers.map((x) => energies(part, arrays, x));

  const bonded = Object.keys(byTerm).filter((term) => FORMS.get(document.terms[term].form).kind === "bonded");
  if (bonded.length) {
    test(`energy/${name}, bonded terms`, () => {
      const found = evaluate(only(document, ({ kind }) => kind === "bonded"));
      for (const term of bonded) assertClose(found.map((each) => each[term]), figures(byTerm[term]), term);
    });
  }

  test(`energy/${name}, all terms`, (context) => {
    assert.deepEqual(faults(document, arrays), []);
    let found;
    try {
      found = evaluate(document);
    } catch (error) {
      if (!(error instanceof Unsupported)) throw error;
      context.skip(`refused: ${error.message}`);
      return;
    }
    for (const [term, expected] of Object.entries(byTerm)) assertClose(found.map((each) => each[term]), figures(expected), term);
    const sum = found.map((each) =>
      Object.values(each).reduce((all, term) => all.map((value, system) => value + term[system])));
    if (total) assertClose(sum, figures(total), "total");
    assert.ok(total || Object.keys(byTerm).length, "the vector has no energies");
  });
}

test("names that stand twice are seen at any depth", () => {
  assert.deepEqual(parse('{"a": [1, {"b": "\\u00e9"}], "c": -1.5e3}'), { a: [1, { b: "é" }], c: -1500 });
  assert.throws(() => parse('{"a": [{"b": 1, "b": 1}]}'), /stands twice/);
  for (const text of ["", "{", "[1,]", "01", "NaN", '{"a" 1}', "1 2", '"\t"', "[".repeat(1000)]) {
    assert.throws(() => parse(text), SyntaxError, text);
  }
});
