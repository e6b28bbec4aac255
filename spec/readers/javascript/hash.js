/** Content hashes of bundles (9.2) and fingerprints of weights (8). */

import { createHash } from "node:crypto";

const ENCODER = new TextEncoder();

function u64(...numbers) {
  const bytes = new Uint8Array(numbers.length * 8);
  const view = new DataView(bytes.buffer);
  numbers.forEach((number, place) => view.setBigUint64(8 * place, BigInt(number), true));
  return bytes;
}

function compareBytes(one, other) {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}

function addRecords(hash, arrays) {
  const names = Object.keys(arrays).sort((one, other) => compareBytes(ENCODER.encode(one), ENCODER.encode(other)));
  hash.update(u64(names.length));
  for (const name of names) {
    const { dtype, shape, bytes } = arrays[name];
    for (const text of [ENCODER.encode(name), ENCODER.encode(dtype)]) hash.update(u64(text.length)).update(text);
    hash.update(u64(shape.length, ...shape)).update(bytes);
  }
  return hash.digest("hex");
}

/** Returns the content hash of a document, as it is stored, and arrays by path. */
export function contentHash(document, arrays) {
  const text = ENCODER.encode(document);
  return addRecords(createHash("sha256").update("ffbridge-content-1\n").update(u64(text.length)).update(text), arrays);
}

/** Returns the fingerprint of weights by name. */
export function fingerprint(weights) {
  return addRecords(createHash("sha256").update("ffbridge-weights-1\n"), weights);
}
