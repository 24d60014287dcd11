/**
 * Which locals may still be read after each site, by a backward pass over the structured code.
 *
 * Live sets are bit sets, one word per 32 locals. A loop's header set grows until nothing changes, so the body is
 * walked once more for each level of change; functions without loops are walked once. Whatever a guest's exception
 * handlers read is live at every call in their `try` (and at a `throw`, which may land in one).
 */
import { ByteReader } from "../wasm/byte-reader.js";
import { Op } from "../wasm/opcodes.js";
import type { FunctionAnalysis } from "./function-analysis.js";

type Bits = Int32Array;

/** A block on the way from its end to its start. */
interface OpenBlock {
  readonly start: number;
  /** Live where the block ends. */
  readonly end: Bits;
  /** Live at its label: the loop header for loops, the end otherwise. */
  readonly label: Bits;
  /** Live at the start of the else arm. */
  elseLive: Bits | undefined;
  /** Live at the start of any handler. */
  handlers: Bits | undefined;
  /** Whether the pass is inside the part that the handlers protect. */
  protecting: boolean;
}

function union(into: Bits, from: Bits): void {
  for (let i = 0; i < into.length; i++) into[i] = (into[i] as number) | (from[i] as number);
}

function toList(bits: Bits): number[] {
  const list: number[] = [];
  for (let i = 0; i < bits.length; i++) {
    let word = bits[i] as number;
    while (word !== 0) {
      const lowest = word & -word;
      list.push(i * 32 + 31 - Math.clz32(lowest));
      word ^= lowest;
    }
  }
  return list;
}

class LivenessPass {
  readonly #analysis: FunctionAnalysis;
  readonly #words: number;
  readonly #headers = new Map<number, Bits>();
  readonly #free: Bits[] = [];
  readonly #blocks: OpenBlock[] = [];
  readonly #live: Bits;
  /** What the last list was made of. */
  readonly #listed: Bits;
  #lastList: readonly number[] = [];

  constructor(analysis: FunctionAnalysis) {
    this.#analysis = analysis;
    this.#words = Math.max(1, (analysis.localTypes.length + 31) >> 5);
    this.#live = new Int32Array(this.#words);
    this.#listed = new Int32Array(this.#words);
  }

  /** What is live, as a list: the one that was made last, while nothing has changed, as it seldom has from call to call. */
  #list(): readonly number[] {
    if (this.#live.some((word, i) => word !== this.#listed[i])) {
      this.#listed.set(this.#live);
      this.#lastList = toList(this.#live);
    }
    return this.#lastList;
  }

  #take(): Bits {
    return this.#free.pop() ?? new Int32Array(this.#words);
  }

  #label(depth: number): Bits {
    return (this.#blocks[this.#blocks.length - 1 - depth] as OpenBlock).label;
  }

  #addHandlers(): void {
    for (const block of this.#blocks) {
      if (block.protecting && block.handlers !== undefined) union(this.#live, block.handlers);
    }
  }

  /** One walk from the end to the start; says whether a loop header's set grew. */
  walk(record: boolean): boolean {
    const { opcodes, operands, dead, partners, arms, siteOf, sites, instructionCount } = this.#analysis;
    const live = this.#live;
    const blocks = this.#blocks;
    let changed = false;
    let openTries = 0;
    blocks.length = 0;
    live.fill(0);
    const noteSite = (i: number): void => {
      const site = sites[(siteOf[i] as number) - 1];
      if (record && site !== undefined) site.live = this.#list();
    };
    for (let i = instructionCount - 1; i >= 0; i--) {
      if (dead[i] === 1) continue;
      const opcode = opcodes[i] as number;
      switch (opcode) {
        case Op.delegate:
        case Op.end: {
          const start = partners[i] as number;
          const end = this.#take();
          end.set(live);
          let label = end;
          const startOpcode = start >= 0 ? opcodes[start] : Op.block;
          if (startOpcode === Op.loop) {
            label = this.#headers.get(start) ?? new Int32Array(this.#words);
            this.#headers.set(start, label);
          }
          const block: OpenBlock = { start, end, label, elseLive: undefined, handlers: undefined, protecting: false };
          blocks.push(block);
          if (startOpcode === Op.try) {
            openTries++;
            block.protecting = opcode === Op.delegate;
          } else if (startOpcode === Op.tryTable) {
            openTries++;
            block.protecting = true;
            block.handlers = this.#tryTableHandlers(start);
          }
          break;
        }
        case Op.else: {
          const block = blocks[blocks.length - 1] as OpenBlock;
          block.elseLive = this.#take();
          block.elseLive.set(live);
          live.set(block.end);
          break;
        }
        case Op.catch:
        case Op.catchAll: {
          const block = blocks[blocks.length - 1] as OpenBlock;
          block.handlers ??= new Int32Array(this.#words);
          union(block.handlers, live);
          if (arms[i] === 1) block.protecting = true;
          live.set(block.end);
          break;
        }
        case Op.try:
        case Op.tryTable:
        case Op.block: {
          if (opcode !== Op.block) openTries--;
          this.#free.push((blocks.pop() as OpenBlock).end);
          break;
        }
        case Op.if: {
          const block = blocks.pop() as OpenBlock;
          union(live, block.elseLive ?? block.end);
          this.#free.push(block.end);
          if (block.elseLive !== undefined) this.#free.push(block.elseLive);
          break;
        }
        case Op.loop: {
          const block = blocks.pop() as OpenBlock;
          for (let word = 0; word < this.#words; word++) {
            const added = (live[word] as number) & ~(block.label[word] as number);
            if (added === 0) continue;
            block.label[word] = (block.label[word] as number) | added;
            changed = true;
          }
          this.#free.push(block.end);
          noteSite(i);
          break;
        }
        case Op.br:
          live.set(this.#label(operands[i] as number));
          break;
        case Op.brIf:
          union(live, this.#label(operands[i] as number));
          break;
        case Op.brTable:
          this.#branchTable(i);
          break;
        case Op.return:
        case Op.unreachable:
        case Op.returnCall:
        case Op.returnCallIndirect:
          live.fill(0);
          break;
        case Op.throw:
        case Op.rethrow:
        case Op.throwRef:
          live.fill(0);
          if (openTries > 0) this.#addHandlers();
          break;
        case Op.localGet: {
          const local = operands[i] as number;
          live[local >> 5] = (live[local >> 5] as number) | (1 << (local & 31));
          break;
        }
        case Op.localSet:
        case Op.localTee: {
          const local = operands[i] as number;
          live[local >> 5] = (live[local >> 5] as number) & ~(1 << (local & 31));
          break;
        }
        case Op.call:
        case Op.callIndirect:
          if (openTries > 0) this.#addHandlers();
          noteSite(i);
          break;
        default:
          break;
      }
    }
    const entry = sites[0];
    if (record && entry !== undefined && entry.instruction < 0) entry.live = toList(live);
    return changed;
  }

  #branchTable(i: number): void {
    const { module, positions } = this.#analysis;
    const reader = new ByteReader(module.bytes, (positions[i] as number) + 1);
    this.#live.fill(0);
    let last = -1;
    for (let labels = reader.u32() + 1; labels > 0; labels--) {
      const depth = reader.u32();
      if (depth !== last) union(this.#live, this.#label(depth));
      last = depth;
    }
  }

  /** Live at the labels that a try_table's clauses lead to; they count from outside of it. */
  #tryTableHandlers(start: number): Bits {
    const { module, positions } = this.#analysis;
    const handlers = new Int32Array(this.#words);
    const reader = new ByteReader(module.bytes, (positions[start] as number) + 1);
    reader.skipLeb();
    const outside = 1;
    for (let clauses = reader.u32(); clauses > 0; clauses--) {
      if (reader.u8() < 2) reader.u32();
      union(handlers, this.#label(reader.u32() + outside));
    }
    return handlers;
  }
}

/** Fills `live` of every site of the current function. */
export function computeLiveness(analysis: FunctionAnalysis): void {
  const { opcodes, dead, instructionCount } = analysis;
  let hasLoop = false;
  for (let i = 0; i < instructionCount && !hasLoop; i++) hasLoop = opcodes[i] === Op.loop && dead[i] === 0;
  const pass = new LivenessPass(analysis);
  while (hasLoop && pass.walk(false));
  pass.walk(true);
}
