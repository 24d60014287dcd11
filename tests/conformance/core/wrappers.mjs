/**
 * Puts functions without parameters into a module, one for each action of a script: it pushes the action's arguments, does
 * it, and returns its results as integers. So values that JavaScript has not (vectors, payloads of NaNs) are given and
 * compared exactly, and stand in frames when the action is interrupted.
 */
import { ByteWriter } from "../../../dist/runtime/wasm/byte-writer.js";
import { ExternalKind, SectionId, typeOfFunction } from "../../../dist/runtime/wasm/module.js";
import { ValueType } from "../../../dist/runtime/wasm/value-types.js";

/** Ids in the order in which sections stand in a module. */
const ORDER = [1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11];
const { i32, i64, f32, f64, v128, funcref, externref } = ValueType;
const NULLS = { funcref, externref };
export const LANE_BYTES = { i8: 1, i16: 2, i32: 4, i64: 8, f32: 4, f64: 8 };
const EMPTY = [0, 0];

function unsigned(value) {
  const writer = new ByteWriter(5);
  writer.u32(value);
  return [...writer.view()];
}

function signed(value) {
  const bytes = [];
  for (let left = value; ; left >>= 7n) {
    const byte = Number(left & 0x7fn);
    if (left >> 6n === 0n || left >> 6n === -1n) return [...bytes, byte];
    bytes.push(byte | 0x80);
  }
}

function littleEndian(value, byteLength) {
  return Array.from({ length: byteLength }, (_, i) => Number((BigInt(value) >> BigInt(8 * i)) & 0xffn));
}

/** Bytes that push a value of a script; undefined: it has none here. */
function pushOf({ type, value, lane_type: lane }) {
  switch (type) {
    case "i32":
      return [0x41, ...signed(BigInt.asIntN(32, BigInt(value)))];
    case "i64":
      return [0x42, ...signed(BigInt.asIntN(64, BigInt(value)))];
    case "f32":
      return [0x43, ...littleEndian(value, 4)];
    case "f64":
      return [0x44, ...littleEndian(value, 8)];
    case "v128":
      return [0xfd, 12, ...value.flatMap((one) => littleEndian(one, LANE_BYTES[lane]))];
    default:
      return (value === undefined || value === "null") && type in NULLS ? [0xd0, NULLS[type]] : undefined;
  }
}

/** The integers as which a result in a local leaves. */
function integersOf(type, local) {
  const get = [0x20, ...unsigned(local)];
  const lane = (index) => [...get, 0xfd, 29, index];
  switch (type) {
    case i32:
      return { types: [i32], code: get };
    case i64:
      return { types: [i64], code: get };
    case f32:
      return { types: [i32], code: [...get, 0xbc] };
    case f64:
      return { types: [i64], code: [...get, 0xbd] };
    case v128:
      return { types: [i64, i64], code: [...lane(0), ...lane(1)] };
    default:
      return { types: [i32], code: [...get, 0xd1] }; // whether it is null
  }
}

export const wrapperName = (index) => `wrapper ${index}`;

/** `nothing`, for a module that is only to be started. */
export const NOTHING = { type: "nothing" };

/**
 * Takes a decoded module. The result has a wrapper for each action, named by `wrapperName`; `has` says for which: there is none for one
 * with values that cannot be pushed.
 */
export function withWrappers(module, actions) {
  const added = { [SectionId.type]: [], [SectionId.function]: [], [SectionId.export]: [], [SectionId.code]: [] };
  const has = actions.map((action, index) => {
    const wrapper = wrapperOf(module, action);
    if (wrapper === undefined) return false;
    const number = added[SectionId.code].length;
    const name = Buffer.from(wrapperName(index));
    const functionIndex = module.functionTypes.length + number;
    added[SectionId.type].push([0x60, 0, ...unsigned(wrapper.types.length), ...wrapper.types]);
    added[SectionId.function].push(unsigned(module.types.length + number));
    added[SectionId.export].push([
      ...unsigned(name.length),
      ...name,
      ExternalKind.function,
      ...unsigned(functionIndex),
    ]);
    added[SectionId.code].push([...unsigned(wrapper.code.length), ...wrapper.code]);
    return true;
  });
  const counts = {
    [SectionId.type]: module.types.length,
    [SectionId.function]: module.functionTypes.length - module.importedFunctionCount,
    [SectionId.export]: module.exports.length,
    [SectionId.code]: module.bodies.length / 2,
  };
  const parts = [module.bytes.subarray(0, 8)];
  for (const id of ORDER) {
    const [from, to] = module.sections.get(id) ?? EMPTY;
    let content = module.bytes.subarray(from, to);
    if (id in added) {
      const before = content.subarray(content.findIndex((byte) => byte < 0x80) + 1); // behind the count
      content = Buffer.from([...unsigned(counts[id] + added[id].length), ...before, ...added[id].flat()]);
    } else if (!module.sections.has(id)) continue;
    parts.push(Buffer.from([id, ...unsigned(content.length)]), content);
  }
  return { bytes: new Uint8Array(Buffer.concat(parts)), has };
}

function wrapperOf(module, { type, field, args = [] }) {
  if (type === NOTHING.type) return { types: [], code: [0, 0x0b] };
  const kind = type === "get" ? ExternalKind.global : ExternalKind.function;
  const target = module.exports.find((one) => one.name === field && one.kind === kind);
  const pushes = args.map(pushOf);
  if (target === undefined || pushes.includes(undefined)) return undefined;
  const results = type === "get" ? [module.globals[target.index].type] : typeOfFunction(module, target.index).results;
  const leaving = results.map(integersOf);
  const code = [
    ...unsigned(results.length),
    ...results.flatMap((result) => [1, result]),
    ...pushes.flat(),
    type === "get" ? 0x23 : 0x10,
    ...unsigned(target.index),
    ...results.flatMap((_, i) => [0x21, ...unsigned(results.length - 1 - i)]),
    ...leaving.flatMap((one) => one.code),
    0x0b,
  ];
  return { types: leaving.flatMap((one) => one.types), code };
}
