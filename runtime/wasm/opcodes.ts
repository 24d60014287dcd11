/**
 * Opcodes: the shape of every instruction's immediates and its effect on the operand stack.
 *
 * Three tables, one per encoding space: plain bytes, 0xfd (SIMD), 0xfe (threads). Each says the kind of immediate, how
 * many operands are popped, and which single type is pushed (0: none). Control, calls, variables, references and the
 * 0xfc space depend on context, so their effect is computed where they are met. Core spec 5.4; exception handling,
 * tail call and threads proposals.
 */
import { ValueType } from "./value-types.js";

export const Op = {
  unreachable: 0x00,
  nop: 0x01,
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  try: 0x06,
  catch: 0x07,
  throw: 0x08,
  rethrow: 0x09,
  throwRef: 0x0a,
  end: 0x0b,
  br: 0x0c,
  brIf: 0x0d,
  brTable: 0x0e,
  return: 0x0f,
  call: 0x10,
  callIndirect: 0x11,
  returnCall: 0x12,
  returnCallIndirect: 0x13,
  delegate: 0x18,
  catchAll: 0x19,
  drop: 0x1a,
  select: 0x1b,
  selectTyped: 0x1c,
  tryTable: 0x1f,
  localGet: 0x20,
  localSet: 0x21,
  localTee: 0x22,
  globalGet: 0x23,
  globalSet: 0x24,
  tableGet: 0x25,
  tableSet: 0x26,
  i32Load: 0x28,
  i64Store32: 0x3e,
  memorySize: 0x3f,
  memoryGrow: 0x40,
  i32Const: 0x41,
  i64Const: 0x42,
  f32Const: 0x43,
  f64Const: 0x44,
  i32Eqz: 0x45,
  i32GtS: 0x4a,
  i32Add: 0x6a,
  i32Sub: 0x6b,
  i64Extend32S: 0xc4,
  refNull: 0xd0,
  refIsNull: 0xd1,
  refFunc: 0xd2,
  prefixMisc: 0xfc,
  prefixSimd: 0xfd,
  prefixAtomic: 0xfe,
} as const;

/** Sub-opcodes of the 0xfc space from memory.init on. */
export const Misc = {
  memoryInit: 8,
  dataDrop: 9,
  memoryCopy: 10,
  memoryFill: 11,
  tableInit: 12,
  elemDrop: 13,
  tableCopy: 14,
  tableGrow: 15,
  tableSize: 16,
  tableFill: 17,
} as const;

/** The blocktype byte of `[] -> []`. */
export const EMPTY_BLOCK = 0x40;

/** Kinds of immediate. */
export const Imm = {
  unknown: 0,
  none: 1,
  u32: 2,
  memarg: 3,
  memargLane: 4,
  lane: 5,
  bytes16: 6,
  special: 7,
} as const;

interface OpcodeTable {
  readonly immediate: Uint8Array;
  readonly pops: Uint8Array;
  readonly pushes: Uint8Array;
}

const TYPE_OF_LETTER: Readonly<Record<string, number>> = {
  i: ValueType.i32,
  l: ValueType.i64,
  f: ValueType.f32,
  d: ValueType.f64,
  v: ValueType.v128,
};

/** Rows are "first-last" ranges, a number of pops, the letter of the pushed type or "-", and an immediate. */
type Row = readonly [from: number, to: number, pops: number, push: string, immediate: number];

function buildTable(rows: readonly Row[]): OpcodeTable {
  const table = { immediate: new Uint8Array(512), pops: new Uint8Array(512), pushes: new Uint8Array(512) };
  for (const [from, to, pops, push, immediate] of rows) {
    for (let opcode = from; opcode <= to; opcode++) {
      table.immediate[opcode] = immediate;
      table.pops[opcode] = pops;
      table.pushes[opcode] = TYPE_OF_LETTER[push] ?? 0;
    }
  }
  return table;
}

const loads: Row[] = [
  [0x28, 0x28, 1, "i", Imm.memarg],
  [0x29, 0x29, 1, "l", Imm.memarg],
  [0x2a, 0x2a, 1, "f", Imm.memarg],
  [0x2b, 0x2b, 1, "d", Imm.memarg],
  [0x2c, 0x2f, 1, "i", Imm.memarg],
  [0x30, 0x35, 1, "l", Imm.memarg],
  [0x36, 0x3e, 2, "-", Imm.memarg],
];

const numeric: Row[] = [
  [0x45, 0x45, 1, "i", Imm.none],
  [0x46, 0x4f, 2, "i", Imm.none],
  [0x50, 0x50, 1, "i", Imm.none],
  [0x51, 0x5a, 2, "i", Imm.none],
  [0x5b, 0x66, 2, "i", Imm.none],
  [0x67, 0x69, 1, "i", Imm.none],
  [0x6a, 0x78, 2, "i", Imm.none],
  [0x79, 0x7b, 1, "l", Imm.none],
  [0x7c, 0x8a, 2, "l", Imm.none],
  [0x8b, 0x91, 1, "f", Imm.none],
  [0x92, 0x98, 2, "f", Imm.none],
  [0x99, 0x9f, 1, "d", Imm.none],
  [0xa0, 0xa6, 2, "d", Imm.none],
  [0xa7, 0xab, 1, "i", Imm.none],
  [0xac, 0xb1, 1, "l", Imm.none],
  [0xb2, 0xb6, 1, "f", Imm.none],
  [0xb7, 0xbb, 1, "d", Imm.none],
  [0xbc, 0xbc, 1, "i", Imm.none],
  [0xbd, 0xbd, 1, "l", Imm.none],
  [0xbe, 0xbe, 1, "f", Imm.none],
  [0xbf, 0xbf, 1, "d", Imm.none],
  [0xc0, 0xc1, 1, "i", Imm.none],
  [0xc2, 0xc4, 1, "l", Imm.none],
];

const contextual: Row[] = [
  [0x00, 0x13, 0, "-", Imm.special],
  [0x18, 0x1c, 0, "-", Imm.special],
  [0x1f, 0x26, 0, "-", Imm.special],
  [0x3f, 0x44, 0, "-", Imm.special],
  [0xd0, 0xd2, 0, "-", Imm.special],
  [0xfc, 0xfe, 0, "-", Imm.special],
];

/** Instructions of one byte. */
export const PLAIN: OpcodeTable = buildTable([...loads, ...numeric, ...contextual]);

/** Instructions behind 0xfd: SIMD and relaxed SIMD (0x100 on). */
export const SIMD: OpcodeTable = buildTable([
  [0, 10, 1, "v", Imm.memarg],
  [11, 11, 2, "-", Imm.memarg],
  [12, 12, 0, "v", Imm.bytes16],
  [13, 13, 2, "v", Imm.bytes16],
  [14, 14, 2, "v", Imm.none],
  [15, 20, 1, "v", Imm.none],
  [21, 22, 1, "i", Imm.lane],
  [23, 23, 2, "v", Imm.lane],
  [24, 25, 1, "i", Imm.lane],
  [26, 26, 2, "v", Imm.lane],
  [27, 27, 1, "i", Imm.lane],
  [28, 28, 2, "v", Imm.lane],
  [29, 29, 1, "l", Imm.lane],
  [30, 30, 2, "v", Imm.lane],
  [31, 31, 1, "f", Imm.lane],
  [32, 32, 2, "v", Imm.lane],
  [33, 33, 1, "d", Imm.lane],
  [34, 34, 2, "v", Imm.lane],
  [35, 76, 2, "v", Imm.none],
  [77, 77, 1, "v", Imm.none],
  [78, 81, 2, "v", Imm.none],
  [82, 82, 3, "v", Imm.none],
  [83, 83, 1, "i", Imm.none],
  [84, 87, 2, "v", Imm.memargLane],
  [88, 91, 2, "-", Imm.memargLane],
  [92, 93, 1, "v", Imm.memarg],
  [94, 98, 1, "v", Imm.none],
  [99, 100, 1, "i", Imm.none],
  [101, 102, 2, "v", Imm.none],
  [103, 106, 1, "v", Imm.none],
  [107, 115, 2, "v", Imm.none],
  [116, 117, 1, "v", Imm.none],
  [118, 121, 2, "v", Imm.none],
  [122, 122, 1, "v", Imm.none],
  [123, 123, 2, "v", Imm.none],
  [124, 129, 1, "v", Imm.none],
  [130, 130, 2, "v", Imm.none],
  [131, 132, 1, "i", Imm.none],
  [133, 134, 2, "v", Imm.none],
  [135, 138, 1, "v", Imm.none],
  [139, 147, 2, "v", Imm.none],
  [148, 148, 1, "v", Imm.none],
  [149, 159, 2, "v", Imm.none],
  [160, 161, 1, "v", Imm.none],
  [163, 164, 1, "i", Imm.none],
  [167, 170, 1, "v", Imm.none],
  [171, 191, 2, "v", Imm.none],
  [192, 193, 1, "v", Imm.none],
  [195, 196, 1, "i", Imm.none],
  [199, 202, 1, "v", Imm.none],
  [203, 223, 2, "v", Imm.none],
  [224, 225, 1, "v", Imm.none],
  [227, 227, 1, "v", Imm.none],
  [228, 235, 2, "v", Imm.none],
  [236, 237, 1, "v", Imm.none],
  [239, 239, 1, "v", Imm.none],
  [240, 247, 2, "v", Imm.none],
  [248, 255, 1, "v", Imm.none],
  [256, 256, 2, "v", Imm.none],
  [257, 260, 1, "v", Imm.none],
  [261, 268, 3, "v", Imm.none],
  [269, 274, 2, "v", Imm.none],
  [275, 275, 3, "v", Imm.none],
]);

/** Seven accesses of one read-modify-write family: i32, i64, i32 8/16, i64 8/16/32. */
function atomicFamily(first: number, pops: number, pushes: boolean): Row[] {
  return ["i", "l", "i", "i", "l", "l", "l"].map((letter, index) => [
    first + index,
    first + index,
    pops,
    pushes ? letter : "-",
    Imm.memarg,
  ]);
}

/** Instructions behind 0xfe: threads. */
export const ATOMIC: OpcodeTable = buildTable([
  [0, 0, 2, "i", Imm.memarg],
  [1, 2, 3, "i", Imm.memarg],
  [3, 3, 0, "-", Imm.lane],
  ...atomicFamily(0x10, 1, true),
  ...atomicFamily(0x17, 2, false),
  ...[0x1e, 0x25, 0x2c, 0x33, 0x3a, 0x41].flatMap((first) => atomicFamily(first, 2, true)),
  ...atomicFamily(0x48, 3, true),
]);

/** What a clause of a try_table catches, and whether with a reference. From catchAll on it names no tag. */
export const CatchKind = { catchRef: 1, catchAll: 2, catchAllRef: 3 } as const;

/** What an opcode of the plain space that we refuse belongs to. */
export function refusedProposal(opcode: number): string | undefined {
  if (opcode >= 0x14 && opcode <= 0x17) return "typed function references";
  if (opcode >= 0xd3 && opcode <= 0xd6) return "typed function references or garbage collection";
  if (opcode === 0xfb) return "garbage collection";
  if (opcode >= 0xe0 && opcode <= 0xe6) return "stack switching";
  return undefined;
}
