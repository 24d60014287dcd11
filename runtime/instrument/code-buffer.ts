/**
 * The code of one function on its way out: bytes, runs of copied instructions, and labels.
 *
 * Unchanged instructions are copied in runs: a run is only noted while it grows, and copied once something else is
 * written. Whatever begins an instruction (`bytes` and what is made of it) copies the run first; `u32` and its like
 * write an operand behind an opcode and rely on that.
 *
 * Blocks of our own stand around and inside the guest's, so a label's depth in the guest's code is another one in ours.
 * A *level* is the number of labels outside of a label; a guest construct knows the level that branches to it go to.
 */
import type { ByteWriter } from "../wasm/byte-writer.js";
import { Op } from "../wasm/opcodes.js";
import type { BranchHints } from "./branch-hints.js";
import type { FunctionAnalysis } from "./function-analysis.js";

/** A guest block on the way, by control depth. */
interface OpenConstruct {
  /** Level of its label. */
  level: number;
  /** A try_table that stands in a wrapper, a try with an inner try: closed by more than one `end`. */
  wrapped: boolean;
}

export class CodeBuffer {
  readonly #analysis: FunctionAnalysis;
  readonly #out: ByteWriter;
  readonly #hints: BranchHints;
  /** Where the current body begins. */
  #bodyFrom = 0;
  readonly #constructs: OpenConstruct[] = [];
  /** Open labels, the guest's and ours. */
  #levels = 0;
  /** The run of instructions to copy, as a byte range of the original module; -1: none. */
  #runFrom = -1;
  #runTo = -1;

  constructor(analysis: FunctionAnalysis, out: ByteWriter, hints: BranchHints) {
    this.#analysis = analysis;
    this.#out = out;
    this.#hints = hints;
  }

  /** Begins a sized body with its declaration of locals; returns what `finish` wants. */
  begin(localGroups: readonly (readonly [count: number, type: number])[]): number {
    const at = this.#out.openSized();
    this.#bodyFrom = this.#out.length;
    this.#out.u32(localGroups.length);
    for (const [count, type] of localGroups) {
      this.#out.u32(count);
      this.#out.u8(type);
    }
    this.#constructs.length = 0;
    this.#levels = 0;
    this.enter();
    return at;
  }

  finish(at: number): void {
    this.bytes(Op.end);
    this.#out.closeSized(at);
  }

  // Instructions of our own.

  bytes(...bytes: number[]): void {
    this.flush();
    for (const byte of bytes) this.#out.u8(byte);
  }

  /** The `if` or `br_if` that is written next is nearly always taken, or seldom. */
  hint(isLikely: boolean): void {
    this.flush();
    this.#hints.note(this.#out.length - this.#bodyFrom, isLikely);
  }

  withIndex(opcode: number, index: number): void {
    this.bytes(opcode);
    this.#out.u32(index);
  }

  /** The start of a block, with its blocktype as an analysis has it. */
  withBlockType(opcode: number, blockType: number): void {
    this.bytes(opcode);
    if (blockType < 0) this.#out.u8(blockType + 0x80);
    else this.#out.s32(blockType);
  }

  localGet(local: number): void {
    this.withIndex(Op.localGet, local);
  }

  localSet(local: number): void {
    this.withIndex(Op.localSet, local);
  }

  /** Pops values into locals, the topmost into the last. */
  localSets(locals: readonly number[]): void {
    for (let k = locals.length - 1; k >= 0; k--) this.localSet(locals[k] as number);
  }

  localGets(locals: readonly number[]): void {
    for (const local of locals) this.localGet(local);
  }

  i32Const(value: number): void {
    this.bytes(Op.i32Const);
    this.#out.s32(value);
  }

  call(index: number): void {
    this.withIndex(Op.call, index);
  }

  /** An operand, behind an opcode. */
  u32(value: number): void {
    this.#out.u32(value);
  }

  // The guest's instructions.

  copyInstruction(i: number): void {
    const { positions } = this.#analysis;
    const from = positions[i] as number;
    const to = positions[i + 1] as number;
    if (this.#runFrom >= 0 && this.#runTo === from) {
      this.#runTo = to;
      return;
    }
    this.flush();
    this.#runFrom = from;
    this.#runTo = to;
  }

  /** Where what is written next will stand. */
  get position(): number {
    return this.#out.length + (this.#runFrom < 0 ? 0 : this.#runTo - this.#runFrom);
  }

  flush(): void {
    if (this.#runFrom < 0) return;
    const from = this.#runFrom;
    this.#runFrom = -1;
    this.#out.copy(this.#analysis.module.bytes, from, this.#runTo);
  }

  // Labels.

  /** Opens a guest construct's label. */
  enter(wrapped = false): void {
    this.#constructs.push({ level: this.#levels++, wrapped });
  }

  leave(): OpenConstruct {
    this.#levels--;
    return this.#constructs.pop() as OpenConstruct;
  }

  innermost(): OpenConstruct {
    return this.#constructs[this.#constructs.length - 1] as OpenConstruct;
  }

  /** Opens labels of our own; returns the level of the outermost of them. */
  nest(count = 1): number {
    const level = this.#levels;
    this.#levels += count;
    return level;
  }

  unnest(count = 1): void {
    this.#levels -= count;
  }

  /** The emitted label for a guest's label. */
  label(depth: number): number {
    return this.labelAt((this.#constructs[this.#constructs.length - 1 - depth] as OpenConstruct).level);
  }

  /** The emitted label for a level. */
  labelAt(level: number): number {
    return this.#levels - 1 - level;
  }
}
