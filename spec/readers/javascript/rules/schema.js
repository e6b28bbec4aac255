/** JSON Schema, as much of it as the standard's schema uses. A keyword that is not known here is an error. */

import { isObject } from "../json.js";
import { fault } from "./fault.js";

const TYPES = {
  object: isObject,
  array: Array.isArray,
  string: (value) => typeof value === "string",
  number: (value) => typeof value === "number",
  integer: Number.isInteger,
  boolean: (value) => typeof value === "boolean",
};
const onTexts = (test) => (limit, value) => typeof value !== "string" || test(limit, value);
const onNumbers = (test) => (limit, value) => typeof value !== "number" || test(limit, value);
const onArrays = (test) => (limit, value) => !Array.isArray(value) || test(limit, value);
const characters = (text) => [...text].length;

const TESTS = {
  type: (name, value) => TYPES[name](value),
  const: (expected, value) => value === expected,
  enum: (known, value) => known.includes(value),
  required: (names, value) => !isObject(value) || names.every((name) => Object.hasOwn(value, name)),
  pattern: onTexts((pattern, value) => new RegExp(pattern, "u").test(value)),
  minLength: onTexts((limit, value) => characters(value) >= limit),
  maxLength: onTexts((limit, value) => characters(value) <= limit),
  minimum: onNumbers((limit, value) => value >= limit),
  exclusiveMinimum: onNumbers((limit, value) => value > limit),
  exclusiveMaximum: onNumbers((limit, value) => value < limit),
  minItems: onArrays((limit, value) => value.length >= limit),
  maxItems: onArrays((limit, value) => value.length <= limit),
};
const DEEPER = new Set(["properties", "additionalProperties", "propertyNames", "items", "$ref"]);
const SILENT = new Set(["$schema", "$id", "$defs", "$comment", "title", "description"]);

/** Returns the faults of a document; the innermost `$comment` on the way names the rule. */
export function schemaFaults(schema, document) {
  const found = [];

  function check(node, value, path, outerRule) {
    const rule = node.$comment ?? outerRule;
    const wrong = () => found.push(fault(path.join("/") || "document", rule));
    for (const [keyword, limit] of Object.entries(node)) {
      if (SILENT.has(keyword)) continue;
      if (keyword in TESTS) {
        if (!TESTS[keyword](limit, value)) wrong();
      } else if (!DEEPER.has(keyword)) {
        throw new Error(`the keyword ${keyword} of the schema is not known here`);
      }
    }
    if (node.$ref) check(schema.$defs[node.$ref.split("/").at(-1)], value, path, rule);
    if (node.items && Array.isArray(value)) value.forEach((each, place) => check(node.items, each, [...path, place], rule));
    if (isObject(value)) checkMembers(node, value, path, rule, wrong);
  }

  function checkMembers(node, value, path, rule, wrong) {
    const { properties = {}, additionalProperties: others = true, propertyNames } = node;
    for (const [name, member] of Object.entries(value)) {
      if (propertyNames) check(propertyNames, name, path, rule);
      if (Object.hasOwn(properties, name)) check(properties[name], member, [...path, name], rule);
      else if (others === false) wrong();
      else if (isObject(others)) check(others, member, [...path, name], rule);
    }
  }

  check(schema, document, [], schema.$comment);
  return found;
}
