/** Every fault of a document and arrays, with its place and the number of the rule in bundle.md. */

import { SCHEMA } from "../standard.js";
import { fault } from "./fault.js";
import { layoutFaults } from "./layout.js";
import { parameterFaults } from "./parameters.js";
import { schemaFaults } from "./schema.js";
import { settingsFaults } from "./settings.js";
import { topologyFaults } from "./topology.js";

/** Returns the faults: of the document first; if it is right, of what it says about the arrays, and of these. */
export function faults(document, arrays) {
  const formal = schemaFaults(SCHEMA, document);
  if (formal.length) return formal;
  const names = nameFaults(document);
  if (names.length) return names;
  const { faults: misplaced, sound } = layoutFaults(document, arrays);
  const content = [topologyFaults, parameterFaults, settingsFaults].flatMap((check) => check(document, sound));
  return [...misplaced, ...content];
}

function nameFaults({ tables, terms, models = {} }) {
  const found = [];
  const used = new Set();
  for (const [name, { table, overrides }] of Object.entries(terms)) {
    for (const [member, rule, value] of [["table", "I-2", table], ["overrides", "O-1", overrides]]) {
      if (value === undefined) continue;
      used.add(value);
      if (!Object.hasOwn(tables, value)) found.push(fault(`terms/${name}/${member}`, rule));
    }
  }
  for (const [name, { model }] of Object.entries(tables)) {
    if (!found.length && !used.has(name)) found.push(fault(`tables/${name}`, "T-5"));
    if (model !== undefined && !Object.hasOwn(models, model)) found.push(fault(`tables/${name}/model`, "P-2"));
  }
  return found;
}
