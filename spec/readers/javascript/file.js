/** Bundle files: safetensors with the document in its metadata (9.1). */

import { readFileSync } from "node:fs";

import { DTYPES, fromBytes, itemSize, product } from "./arrays.js";
import { contentHash } from "./hash.js";
import { DuplicateName, canonical, isObject, parse } from "./json.js";
import { BundleError } from "./rules/fault.js";

const LONGEST_HEADER = 100_000_000;
const NAMES = {
  BOOL: "bool", I8: "int8", U8: "uint8", I16: "int16", U16: "uint16", I32: "int32", U32: "uint32", I64: "int64",
  U64: "uint64", F16: "float16", BF16: "bfloat16", F32: "float32", F64: "float64",
};

/**
 * Returns the document and the arrays by path of a file, its hash verified; the rules about their content are `faults`.
 * Throws BundleError, which names the rule that is broken. With `lenient`, other forms of the document than the
 * canonical one are read, as F-3 allows.
 */
export function readFile(path, { lenient = false } = {}) {
  const { metadata, arrays } = readSafetensors(new Uint8Array(readFileSync(path)));
  const text = metadata.ffbridge;
  if (text === undefined) throw new BundleError("F-2", "there is no document");
  const document = parsed(text, "F-3");
  if (!isObject(document)) throw new BundleError("D-1", "the document is no object");
  if (!lenient && canonical(document) !== text) throw new BundleError("F-3", "the document is not in canonical form");
  const stated = metadata.ffbridge_sha256;
  if (!/^[0-9a-f]{64}$/.test(stated ?? "")) throw new BundleError("F-5", "there is no content hash");
  if (contentHash(text, arrays) !== stated) throw new BundleError("F-5", "the content has another hash");
  return { document, arrays };
}

function parsed(text, rule) {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new BundleError(error instanceof DuplicateName ? "F-4" : rule, error.message);
  }
}

function readSafetensors(bytes) {
  const require = (condition, message) => {
    if (!condition) throw new BundleError("F-1", message);
  };
  require(bytes.length >= 8, "a file of less than 8 bytes");
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  require(length <= Math.min(LONGEST_HEADER, bytes.length - 8), "a header that is longer than the file");
  const header = parsed(decoded(bytes.subarray(8, 8 + length), require), "F-1");
  require(isObject(header), "a header that is no object");
  const { __metadata__: metadata = {}, ...tensors } = header;
  require(isObject(metadata) && Object.values(metadata).every((text) => typeof text === "string"), "metadata");
  const data = bytes.subarray(8 + length);
  const arrays = {};
  let end = 0;
  const inOrder = Object.entries(tensors).sort((one, other) => one[1].data_offsets?.[0] - other[1].data_offsets?.[0]);
  for (const [path, { dtype, shape, data_offsets: offsets }] of inOrder) {
    require(DTYPES.has(NAMES[dtype]), `${path}: dtype ${dtype}`);
    require(Array.isArray(shape) && shape.every((size) => Number.isSafeInteger(size) && size >= 0), `${path}: shape`);
    require(Array.isArray(offsets) && offsets.length === 2 && offsets[0] === end, `${path}: gaps or overlaps`);
    end = offsets[1];
    require(end <= data.length, `${path}: beyond the end of the file`);
    require(end - offsets[0] === product(shape) * itemSize(NAMES[dtype]), `${path}: offsets do not fit the shape`);
    arrays[path] = fromBytes(NAMES[dtype], shape, data.slice(offsets[0], end));
  }
  require(end === data.length, "bytes that belong to no tensor");
  return { metadata, arrays };
}

function decoded(bytes, require) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return require(false, "a header that is no UTF-8");
  }
}
