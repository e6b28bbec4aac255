/** JSON as the standard needs it: names that stand twice are seen, and the canonical form of RFC 8785 is written. */

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SPACE = /[ \t\n\r]*/y;
const LITERALS = new Map([["true", true], ["false", false], ["null", null]]);
const DEEPEST = 500;

export class DuplicateName extends SyntaxError {}

/** Returns the value of a text. Throws DuplicateName, or SyntaxError for what is no JSON. */
export function parse(text) {
  let at = 0;

  function match(pattern) {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found) at = pattern.lastIndex;
    return found?.[0];
  }

  function fail() {
    throw new SyntaxError(`no JSON at place ${at}`);
  }

  function take(character) {
    match(SPACE);
    if (text[at] !== character) return false;
    at += 1;
    return true;
  }

  function string() {
    match(SPACE);
    const token = match(STRING);
    return token === undefined ? fail() : JSON.parse(token);
  }

  function value(depth) {
    if (depth > DEEPEST) throw new SyntaxError(`JSON is nested more than ${DEEPEST} deep`);
    if (take("{")) return object(depth);
    if (take("[")) return array(depth);
    for (const [word, meaning] of LITERALS) {
      if (text.startsWith(word, at)) {
        at += word.length;
        return meaning;
      }
    }
    if (text[at] === '"') return string();
    const token = match(NUMBER);
    return token === undefined ? fail() : Number(token);
  }

  function object(depth) {
    const found = new Map();
    if (!take("}")) {
      do {
        const name = string();
        if (found.has(name)) throw new DuplicateName(`the name ${JSON.stringify(name)} stands twice`);
        if (!take(":")) fail();
        found.set(name, value(depth + 1));
      } while (take(","));
      if (!take("}")) fail();
    }
    return Object.fromEntries(found);
  }

  function array(depth) {
    const found = [];
    if (!take("]")) {
      do found.push(value(depth + 1));
      while (take(","));
      if (!take("]")) fail();
    }
    return found;
  }

  const result = value(0);
  match(SPACE);
  return at === text.length ? result : fail();
}

/** Returns a value in the canonical form of RFC 8785, whose numbers and texts are those of ECMAScript. */
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const members = Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`);
    return `{${members.join(",")}}`;
  }
  return JSON.stringify(value);
}

/** Returns a document with a JSON Merge Patch (RFC 7396). */
export function merged(target, patch) {
  if (!isObject(patch)) return patch;
  const result = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = merged(result[name], value);
  }
  return result;
}

export function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
