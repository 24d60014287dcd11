/**
 * A cursor over a function's code. The engine has validated the module, so nothing is checked here: this is the inner
 * loop of instrumenting. Core spec 5.4.
 */
import { type ATOMIC, CatchKind, Imm, type SIMD } from "../wasm/opcodes.js";

export class InstructionReader {
  position = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  u8(): number {
    return this.#bytes[this.position++] as number;
  }

  /** Unsigned LEB128 of a number below 2^32. */
  leb(): number {
    const bytes = this.#bytes;
    let byte = bytes[this.position++] as number;
    if (byte < 0x80) return byte;
    let result = byte & 0x7f;
    let shift = 7;
    do {
      byte = bytes[this.position++] as number;
      result |= (byte & 0x7f) << shift;
      shift += 7;
    } while (byte >= 0x80);
    return result >>> 0;
  }

  skipLeb(): void {
    while ((this.#bytes[this.position++] as number) >= 0x80);
  }

  /** Alignment, a memory's index when its bit is set there, offset. */
  skipMemarg(): void {
    if ((this.leb() & 0x40) !== 0) this.skipLeb();
    this.skipLeb();
  }

  /** A type index, or below zero a type of one byte, as signed LEB128 has it. */
  blockType(): number {
    const first = this.#bytes[this.position] as number;
    if (first < 0x40 || first >= 0x80) return this.leb();
    this.position++;
    return first - 0x80;
  }

  skipTryTableClauses(): void {
    for (let clauses = this.leb(); clauses > 0; clauses--) {
      if (this.u8() < CatchKind.catchAll) this.skipLeb();
      this.skipLeb();
    }
  }

  skipBranchTable(): void {
    for (let labels = this.leb() + 1; labels > 0; labels--) this.skipLeb();
  }

  skipSelectTypes(): void {
    const count = this.leb(); // moves the position, which `+=` would have read before
    this.position += count;
  }

  skipImmediates(table: typeof SIMD | typeof ATOMIC, sub: number): void {
    const immediate = table.immediate[sub];
    if (immediate === Imm.memarg || immediate === Imm.memargLane) this.skipMemarg();
    if (immediate === Imm.lane || immediate === Imm.memargLane) this.position++;
    else if (immediate === Imm.bytes16) this.position += 16;
  }
}
