/**
 * Tracking: every store of the guest is told to the host, behind the instruction, so that a simulated failure knows which
 * bytes were stored in which order. For tests; programs are several times slower.
 *
 *     i32.store offset=8        local.set $value  local.tee $address  local.get $value
 *                        =>     i32.store offset=8
 *                               local.get $address  i32.const 8  i32.const 4  call $stored
 *
 * Behind, not before: a store that traps has stored nothing. The host reads the bytes from memory. Only the first memory is
 * tracked; what is stored into others is volatile to every persistence domain.
 *
 * Sites, frames and polls are those of the untracked form (A1 in function-analysis.ts): the locals are a writer's own.
 */
import { ByteReader } from "../wasm/byte-reader.js";
import { Misc, Op } from "../wasm/opcodes.js";
import { ValueType } from "../wasm/value-types.js";
import type { WriterContext } from "./code-target.js";
import type { FunctionAnalysis } from "./function-analysis.js";

const { i32, i64, f32, f64, v128 } = ValueType;

interface Store {
  /** Operands above the address, the topmost last. */
  readonly values: readonly ValueType[];
  readonly offset: number;
  /** Undefined: the topmost operand is the length. */
  readonly byteLength: number | undefined;
}

type Access = readonly [type: ValueType, byteLength: number];

/** By opcode from i32.store on. */
const PLAIN_STORES: readonly Access[] = [
  [i32, 4],
  [i64, 8],
  [f32, 4],
  [f64, 8],
  [i32, 1],
  [i32, 2],
  [i64, 1],
  [i64, 2],
  [i64, 4],
];
const FIRST_PLAIN_STORE = 0x36;
/** The seven accesses of each family of atomic instructions. */
const ATOMIC_FAMILY: readonly Access[] = [
  [i32, 4],
  [i64, 8],
  [i32, 1],
  [i32, 2],
  [i64, 1],
  [i64, 2],
  [i64, 4],
];
const FIRST_ATOMIC_STORE = 0x17;
const FIRST_COMPARE_EXCHANGE = 0x48;
const LAST_ATOMIC = 0x4e;
const V128_STORE = 11;
const FIRST_LANE_STORE = 88;
const LAST_LANE_STORE = 91;
/** In a memarg's alignment: the index of a memory follows. */
const HAS_MEMORY_INDEX = 0x40;

/** The locals of a function that keep what its stores consume. */
export interface StoreLocals {
  readonly address: number;
  /** By type, as many as one store needs. */
  readonly values: ReadonlyMap<ValueType, readonly number[]>;
}

export const NO_STORE_LOCALS: StoreLocals = { address: -1, values: new Map() };

/** What an instruction stores into the first memory; undefined: nothing. */
export function storeOf(analysis: FunctionAnalysis, i: number): Store | undefined {
  const opcode = analysis.opcodes[i] as number;
  const isPlain = opcode >= FIRST_PLAIN_STORE && opcode <= Op.i64Store32;
  if (!isPlain && opcode !== Op.prefixSimd && opcode !== Op.prefixAtomic && opcode !== Op.prefixMisc) return undefined;
  const reader = new ByteReader(analysis.module.bytes, (analysis.positions[i] as number) + 1);
  if (isPlain) return access(reader, PLAIN_STORES[opcode - FIRST_PLAIN_STORE]);
  const sub = reader.u32();
  if (opcode === Op.prefixMisc) return bulk(reader, sub);
  if (opcode === Op.prefixSimd) {
    if (sub === V128_STORE) return access(reader, [v128, 16]);
    if (sub < FIRST_LANE_STORE || sub > LAST_LANE_STORE) return undefined;
    return access(reader, [v128, 1 << (sub - FIRST_LANE_STORE)]);
  }
  if (sub < FIRST_ATOMIC_STORE || sub > LAST_ATOMIC) return undefined;
  const operand = ATOMIC_FAMILY[(sub - FIRST_ATOMIC_STORE) % ATOMIC_FAMILY.length];
  return access(reader, operand, sub >= FIRST_COMPARE_EXCHANGE ? 2 : 1);
}

function access(reader: ByteReader, operand: Access | undefined, count = 1): Store | undefined {
  const memory = (reader.u32() & HAS_MEMORY_INDEX) === 0 ? 0 : reader.u32();
  if (memory !== 0 || operand === undefined) return undefined;
  const [type, byteLength] = operand;
  return { values: new Array<ValueType>(count).fill(type), offset: reader.u32(), byteLength };
}

function bulk(reader: ByteReader, sub: number): Store | undefined {
  if (sub !== Misc.memoryInit && sub !== Misc.memoryCopy && sub !== Misc.memoryFill) return undefined;
  if (sub === Misc.memoryInit) reader.u32(); // the segment
  const memory = reader.u32();
  return memory === 0 ? { values: [i32, i32], offset: 0, byteLength: undefined } : undefined;
}

/** Gives the current function the locals that its stores need. */
export function addStoreLocals(analysis: FunctionAnalysis): StoreLocals {
  const counts = new Map<ValueType, number>();
  for (let i = 0; i < analysis.instructionCount; i++) {
    if (analysis.dead[i] === 1) continue;
    const store = storeOf(analysis, i);
    const type = store?.values[0];
    if (store !== undefined && type !== undefined) {
      counts.set(type, Math.max(counts.get(type) ?? 0, store.values.length));
    }
  }
  if (counts.size === 0) return NO_STORE_LOCALS;
  const values = new Map(
    [...counts].map(([type, count]) => [type, Array.from({ length: count }, () => analysis.addLocal(type))]),
  );
  return { address: analysis.addLocal(i32), values };
}

/** A store between what keeps its operands and what tells the host; `write` writes the instruction. */
export function writeTrackedStore(
  { code, target, storeLocals: { address, values } }: WriterContext,
  store: Store,
  write: () => void,
): void {
  const [type] = store.values;
  const kept = (type === undefined ? undefined : values.get(type))?.slice(0, store.values.length) ?? [];
  code.localSets(kept);
  code.withIndex(Op.localTee, address);
  code.localGets(kept);
  write();
  code.localGet(address);
  code.i32Const(store.offset | 0);
  if (store.byteLength === undefined) code.localGet(kept[kept.length - 1] as number);
  else code.i32Const(store.byteLength);
  code.call(target.helpers.stored as number);
}
