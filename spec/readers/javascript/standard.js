/** The standard's data: the schema, the registry of forms, the vectors. */

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const FOLDER = fileURLToPath(new URL("../../ffbridge_spec/", import.meta.url));
const load = (...parts) => JSON.parse(readFileSync(join(FOLDER, ...parts), "utf-8"));

export const SCHEMA = load("bundle-1.schema.json");
export const REGISTRY = load("forms-1.json");
export const FORMS = new Map(Object.entries(REGISTRY.forms));

/** Returns the vectors of a kind by name: `valid`, `invalid` or `energy`. */
export function vectors(kind) {
  const files = readdirSync(join(FOLDER, "vectors", kind)).filter((file) => file.endsWith(".json")).sort();
  return new Map(files.map((file) => [file.slice(0, -5), load("vectors", kind, file)]));
}

/** Returns the path of a file among the vectors. */
export const vectorFile = (kind, file) => join(FOLDER, "vectors", kind, file);

/**
 * Returns the names, units and limits of a form's columns under a term's settings, arrays of columns spread out; null
 * where a setting that tells how many there are is missing.
 */
export function columnsOf(form, settings = {}) {
  if (form.columns.some(({ shape = [] }) => shape.some((size) => !(size in settings)))) return null;
  return form.columns.flatMap(({ shape, ...column }) => {
    if (!shape) return [column];
    let names = [column.name];
    for (const size of shape) {
      const length = settings[size];
      names = names.flatMap((name) => Array.from({ length }, (_, place) => `${name}_${place}`));
    }
    return names.map((name) => ({ ...column, name }));
  });
}
