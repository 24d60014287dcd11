/**
 * What the code of a module calls and uses, in one walk over each function's bytes.
 *
 * A call is an edge: node << 1 | outside of every loop. The nodes are the functions, and behind them the canonical types, for
 * calls through tables. Flat typed arrays: modules have 600,000 functions.
 */
import { UnsupportedModule } from "../wasm/byte-reader.js";
import type { Module } from "../wasm/module.js";
import { ATOMIC, Imm, Misc, Op, PLAIN, refusedProposal, SIMD } from "../wasm/opcodes.js";

/** What a module's code does that the instrumenter must know beforehand. */
export interface CodeFeatures {
  legacyExceptions: boolean;
  exnref: boolean;
  tailCalls: boolean;
  /** Tables can differ from what instantiation made them. */
  changesTables: boolean;
  memoryGrow: Set<number>;
  atomics: boolean;
  /** The largest static offset of an access to memory: see poll-flag.ts. */
  largestOffset: number;
  /** Keys `kind:a:b` of segment instructions, for the thunks that continuations call: see helpers.ts. */
  segmentOperations: Set<string>;
}

/** A growing list of i32. */
class IntList {
  values = new Int32Array(1 << 16);
  length = 0;
  push(value: number): void {
    if (this.length === this.values.length) {
      const grown = new Int32Array(this.values.length * 2);
      grown.set(this.values);
      this.values = grown;
    }
    this.values[this.length++] = value;
  }
}

export class BodyScanner {
  /** Of all bodies scanned so far, one after the other. */
  readonly edges = new IntList();
  readonly referenced: number[] = [];
  readonly features: CodeFeatures = {
    legacyExceptions: false,
    exnref: false,
    tailCalls: false,
    changesTables: false,
    memoryGrow: new Set(),
    atomics: false,
    largestOffset: 0,
    segmentOperations: new Set(),
  };
  readonly #bytes: Uint8Array;
  readonly #canonicalType: Uint32Array;
  readonly #functionCount: number;
  readonly #isLoop = new Uint8Array(1 << 16);
  #position = 0;
  /** Whether the body scanned last has instructions that are replaced. */
  replaces = false;

  constructor(module: Module, canonicalType: Uint32Array) {
    this.#bytes = module.bytes;
    this.#canonicalType = canonicalType;
    this.#functionCount = module.functionTypes.length;
  }

  #leb(): number {
    const bytes = this.#bytes;
    let byte = bytes[this.#position++] as number;
    if (byte < 0x80) return byte;
    let result = byte & 0x7f;
    let shift = 7;
    do {
      byte = bytes[this.#position++] as number;
      result |= (byte & 0x7f) << shift;
      shift += 7;
    } while (byte >= 0x80);
    return result >>> 0;
  }

  #skipLeb(): void {
    while ((this.#bytes[this.#position++] as number) >= 0x80);
  }

  #memarg(): void {
    const align = this.#leb();
    if ((align & 0x40) !== 0) this.#skipLeb();
    const offset = this.#leb();
    if (offset > this.features.largestOffset) this.features.largestOffset = offset;
  }

  /** One body: appends its calls to `edges`. Returns whether it has a loop. */
  scan(from: number, to: number): boolean {
    const bytes = this.#bytes;
    this.#position = from;
    this.replaces = false;
    for (let groups = this.#leb(); groups > 0; groups--) {
      this.#skipLeb();
      this.#position++;
    }
    let depth = 0;
    let openLoops = 0;
    let hasLoop = false;
    while (this.#position < to) {
      const opcode = bytes[this.#position++] as number;
      const immediate = PLAIN.immediate[opcode];
      if (immediate === Imm.none) continue;
      if (immediate === Imm.memarg) {
        this.#memarg();
        continue;
      }
      switch (opcode) {
        case Op.block:
        case Op.loop:
        case Op.if:
        case Op.try:
        case Op.tryTable: {
          this.#skipLeb();
          this.#isLoop[depth++] = opcode === Op.loop ? 1 : 0;
          if (opcode === Op.loop) {
            openLoops++;
            hasLoop = true;
          } else if (opcode === Op.try) this.features.legacyExceptions = true;
          else if (opcode === Op.tryTable) {
            this.features.exnref = true;
            for (let clauses = this.#leb(); clauses > 0; clauses--) {
              const kind = bytes[this.#position++] as number;
              if (kind < 2) this.#skipLeb();
              this.#skipLeb();
            }
          }
          break;
        }
        case Op.end:
          if (depth > 0 && this.#isLoop[--depth] === 1) openLoops--;
          break;
        case Op.delegate:
          this.#skipLeb();
          depth--;
          break;
        case Op.call:
        case Op.returnCall:
          if (opcode === Op.returnCall) this.features.tailCalls = true;
          this.edges.push((this.#leb() << 1) | (openLoops === 0 ? 1 : 0));
          break;
        case Op.callIndirect:
        case Op.returnCallIndirect: {
          if (opcode === Op.returnCallIndirect) this.features.tailCalls = true;
          const type = this.#canonicalType[this.#leb()] as number;
          this.#skipLeb();
          this.edges.push(((this.#functionCount + type) << 1) | (openLoops === 0 ? 1 : 0));
          break;
        }
        case Op.brTable:
          for (let labels = this.#leb() + 1; labels > 0; labels--) this.#skipLeb();
          break;
        case Op.selectTyped:
          for (let n = this.#leb(); n > 0; n--) this.#position++;
          break;
        case Op.f32Const:
          this.#position += 4;
          break;
        case Op.f64Const:
          this.#position += 8;
          break;
        case Op.refNull:
          this.#position++;
          break;
        case Op.refFunc:
          this.referenced.push(this.#leb());
          break;
        case Op.tableSet:
          this.features.changesTables = true;
          this.#skipLeb();
          break;
        case Op.memoryGrow:
          this.replaces = true;
          this.features.memoryGrow.add(this.#leb());
          break;
        case Op.throwRef:
          this.features.exnref = true;
          break;
        case Op.unreachable:
        case Op.nop:
        case Op.else:
        case Op.return:
        case Op.catchAll:
        case Op.drop:
        case Op.select:
        case Op.refIsNull:
          break;
        case Op.catch:
        case Op.throw:
        case Op.rethrow:
        case Op.br:
        case Op.brIf:
        case Op.localGet:
        case Op.localSet:
        case Op.localTee:
        case Op.globalGet:
        case Op.globalSet:
        case Op.tableGet:
        case Op.memorySize:
        case Op.i32Const:
        case Op.i64Const:
          this.#skipLeb();
          break;
        case Op.prefixMisc:
          this.#misc();
          break;
        case Op.prefixSimd:
          this.#prefixed(SIMD.immediate);
          break;
        case Op.prefixAtomic:
          this.features.atomics = true;
          this.#prefixed(ATOMIC.immediate);
          break;
        default:
          refuseOpcode(opcode, this.#position - 1);
      }
    }
    return hasLoop;
  }

  #misc(): void {
    const sub = this.#leb();
    if (sub < Misc.memoryInit) return;
    if (sub > Misc.tableFill) refuseOpcode(0xfc00 | sub, this.#position);
    const first = this.#leb();
    const two = sub === Misc.memoryInit || sub === Misc.memoryCopy || sub === Misc.tableInit || sub === Misc.tableCopy;
    const second = two ? this.#leb() : 0;
    if (sub === Misc.memoryInit || sub === Misc.dataDrop || sub === Misc.tableInit || sub === Misc.elemDrop) {
      this.features.segmentOperations.add(`${sub}:${first}:${second}`);
    }
    if (sub === Misc.dataDrop || sub === Misc.elemDrop) this.replaces = true;
    if (sub === Misc.tableInit || sub === Misc.tableCopy || sub === Misc.tableGrow || sub === Misc.tableFill) {
      this.features.changesTables = true;
    }
  }

  #prefixed(immediates: Uint8Array): void {
    const sub = this.#leb();
    const immediate = immediates[sub];
    if (immediate === Imm.none) return;
    if (immediate === Imm.memarg) this.#memarg();
    else if (immediate === Imm.memargLane) {
      this.#memarg();
      this.#position++;
    } else if (immediate === Imm.lane) this.#position++;
    else if (immediate === Imm.bytes16) this.#position += 16;
    else refuseOpcode((immediates === SIMD.immediate ? 0xfd00 : 0xfe00) | sub, this.#position);
  }
}

export function refuseOpcode(opcode: number, position: number): never {
  const proposal = refusedProposal(opcode) ?? "an unknown proposal";
  const shown = `0x${opcode.toString(16)}`;
  throw new UnsupportedModule(
    `the module uses the instruction ${shown} (${proposal}, byte ${position}), which Vermilion does not run yet`,
  );
}
