/** What a check reports: where, which rule is broken, and in which rows of an array. */

export class BundleError extends Error {
  constructor(rule, message) {
    super(`${message} [${rule}]`);
    this.rule = rule;
  }
}

export const fault = (path, rule, rows = null) => ({ path, rule, rows });

/** Returns a fault for the rows where `bad` holds, in a list of none or one. */
export function faultsInRows(path, rule, bad) {
  const rows = bad.flatMap((each, row) => (each ? [row] : []));
  return rows.length ? [fault(path, rule, rows)] : [];
}
