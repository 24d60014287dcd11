/**
 * Which branches are seldom or nearly always taken, for the engine's optimising tier: custom section
 * "metadata.code.branch_hint" (branch hinting proposal). What a poll does when it is time to ask the host is put out of
 * the way then, and keeps nothing in memory that the loop around has in registers. docs/rationale.md#branch-hints
 */
import type { ByteWriter } from "../wasm/byte-writer.js";

const SECTION = "metadata.code.branch_hint";
/** Bytes of a number of 32 bits, at most. */
const LONGEST_NUMBER = 5;

interface HintedFunction {
  /** Among the functions that the module defines. */
  readonly ordinal: number;
  /** Offsets in the body, from the locals' declarations on, ascending; each is followed by 1 if the branch is likely. */
  readonly hints: number[];
}

export class BranchHints {
  readonly #functions: HintedFunction[] = [];
  #ordinal = 0;
  #count = 0;

  /** What is noted from now on is of this function; they come in order. */
  begin(ordinal: number): void {
    this.#ordinal = ordinal;
  }

  /** The branch that is written next stands at `offset` of the function's body. */
  note(offset: number, isLikely: boolean): void {
    let last = this.#functions[this.#functions.length - 1];
    if (last?.ordinal !== this.#ordinal) {
      last = { ordinal: this.#ordinal, hints: [] };
      this.#functions.push(last);
    }
    last.hints.push(offset, isLikely ? 1 : 0);
    this.#count++;
  }

  /** No fewer than the section takes. */
  get longestByteLength(): number {
    return 64 + 2 * LONGEST_NUMBER * this.#functions.length + (LONGEST_NUMBER + 2) * this.#count;
  }

  /** The custom section's content, its name first. `firstFunction`: index of the first function that the module defines. */
  write(out: ByteWriter, firstFunction: number): void {
    out.name(SECTION);
    out.u32(this.#functions.length);
    for (const { ordinal, hints } of this.#functions) {
      out.u32(firstFunction + ordinal);
      out.u32(hints.length / 2);
      for (let i = 0; i < hints.length; i += 2) {
        out.u32(hints[i] as number);
        out.u8(1);
        out.u8(hints[i + 1] as number);
      }
    }
  }
}
