/** Arrays: a dtype, a shape, the values in C order, and the bytes that files and hashes have of them. */

const VIEWS = {
  bool: [1, "getUint8", "setUint8"],
  int8: [1, "getInt8", "setInt8"],
  uint8: [1, "getUint8", "setUint8"],
  int16: [2, "getInt16", "setInt16"],
  uint16: [2, "getUint16", "setUint16"],
  int32: [4, "getInt32", "setInt32"],
  uint32: [4, "getUint32", "setUint32"],
  int64: [8, "getBigInt64", "setBigInt64"],
  uint64: [8, "getBigUint64", "setBigUint64"],
  float16: [2, "getUint16", "setUint16"],
  bfloat16: [2, "getUint16", "setUint16"],
  float32: [4, "getFloat32", "setFloat32"],
  float64: [8, "getFloat64", "setFloat64"],
};

export const DTYPES = new Set(Object.keys(VIEWS));
export const itemSize = (dtype) => VIEWS[dtype][0];
export const product = (numbers) => numbers.reduce((all, each) => all * each, 1);

/** Returns an array of bytes, little-endian. Values of 16-bit floats are left as bits: nothing computes with them. */
export function fromBytes(dtype, shape, bytes) {
  const [size, get] = VIEWS[dtype];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = Array.from({ length: product(shape) }, (_, place) => view[get](place * size, true));
  return { dtype, shape, values, bytes };
}

/** Returns an array as vectors write it: `{dtype, shape, data}`, with texts for values that JSON lacks. */
export function fromVector({ dtype, shape, data }) {
  const [size, , set] = VIEWS[dtype];
  const bytes = new Uint8Array(data.length * size);
  const view = new DataView(bytes.buffer);
  const texts = { inf: Infinity, "-inf": -Infinity, nan: NaN };
  const values = data.map((value) => (typeof value === "string" ? texts[value] : Number(value)));
  values.forEach((value, place) => view[set](place * size, encoded(dtype, value), true));
  return { dtype, shape, values, bytes };
}

function encoded(dtype, value) {
  if (dtype.includes("int64")) return BigInt(value);
  if (dtype === "bfloat16") throw new RangeError("vectors have no bfloat16");
  return dtype === "float16" ? halfBits(value) : value;
}

/** Returns the bits of a number that a 16-bit float holds exactly. */
function halfBits(value) {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (size === Infinity) return sign | 0x7c00;
  const exponent = Math.max(Math.floor(Math.log2(size || 1e-9)), -14);
  const fraction = (size / 2 ** exponent) * 1024;
  const bits = fraction < 1024 ? fraction : ((exponent + 15) << 10) | (fraction - 1024);
  if (!Number.isInteger(fraction)) throw new RangeError(`${value} is no 16-bit float`);
  return sign | bits;
}

/** Returns the rows of a matrix. */
export function rows({ shape, values }) {
  const width = product(shape.slice(1));
  return Array.from({ length: shape[0] }, (_, row) => values.slice(row * width, (row + 1) * width));
}
