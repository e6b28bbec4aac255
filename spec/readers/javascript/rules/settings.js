/** Settings against the form, the method and the box (5.2). */

import { rows } from "../arrays.js";
import { FORMS, REGISTRY } from "../standard.js";
import { fault, faultsInRows } from "./fault.js";
import { ROUNDING } from "./topology.js";

const WEIGHTS = ["origin_weights", "x_weights", "y_weights"];

export function settingsFaults(document, arrays) {
  return Object.entries(document.terms).flatMap(([name, term]) => {
    const form = FORMS.get(term.form);
    const path = `terms/${name}/settings`;
    if (!form) return [];
    const check = form.kind === "nonbonded" ? nonbondedFaults : plainFaults;
    return check(path, form, term.settings ?? {}, arrays);
  });
}

const sameNames = (one, other) => ascendingNames(one) === ascendingNames(other);
const ascendingNames = (names) => [...names].sort().join();

function plainFaults(path, form, settings) {
  if (!sameNames(Object.keys(settings), form.settings ?? [])) return [fault(path, "S-2")];
  const wrong = WEIGHTS.filter((name) => name in settings && settings[name].length !== form.arity - 1);
  return wrong.map((name) => fault(`${path}/${name}`, "S-10"));
}

function nonbondedFaults(path, form, settings, arrays) {
  if (!form.methods.includes(settings.method)) return [fault(`${path}/method`, "S-3")];
  const method = REGISTRY.methods[settings.method];
  const required = ["method", ...form.settings, ...method.required];
  const allowed = new Set([...required, ...method.optional]);
  const found = [];
  if (required.some((name) => !(name in settings)) || Object.keys(settings).some((name) => !allowed.has(name))) {
    found.push(fault(path, "S-4"));
  }
  const { mixing_rule: rule, switch_distance: start = 0, cutoff = Infinity } = settings;
  if (rule !== undefined && !form.mixing_rules?.includes(rule)) found.push(fault(`${path}/mixing_rule`, "S-5"));
  if (start >= cutoff) found.push(fault(`${path}/switch_distance`, "S-6"));
  const { repulsion_exponent: alpha = Infinity, attraction_exponent: beta = 0 } = settings;
  if (alpha <= beta) found.push(fault(`${path}/repulsion_exponent`, "S-9"));
  if (method.periodic ?? settings.periodic) found.push(...periodicFaults(path, settings, arrays));
  return found;
}

function periodicFaults(path, { cutoff = 0 }, { box }) {
  if (!box) return [fault(path, "S-7")];
  const narrow = ([ax, , , , by, , , , cz]) => {
    const width = Math.min(ax, by, cz);
    return width > 0 && 2 * cutoff > width * (1 + ROUNDING);
  };
  return faultsInRows("box", "S-8", rows(box).map(narrow));
}
