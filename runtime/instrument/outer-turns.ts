/**
 * The further turns of the loops around a site, each in a function of its own. Otherwise a continuation has each of these loops once
 * more, the inner ones in the outer ones again: of one in Yosys, 214 KB with ten loops in one another, it was more than an engine
 * takes for a function.
 *
 * At the end of the turn that is under way the frame of the loop's header is put into registers, globals of the continuation
 * module, and the function is called that goes on at that header:
 *
 *     block $turn                                       ;; one for each loop around
 *       ...  <registers := frame>  br $turn  ...        ;; where the turn ends
 *       return
 *     end
 *     i32.const slot  call_indirect (type [] -> results) $turns  return
 *
 * U1  The call stands outside of all constructs of the guest's and in no guard: what it calls has these itself, and its own frame.
 * U2  Between the writing of the registers and their reading nothing else runs.
 */
import type { ByteWriter } from "../wasm/byte-writer.js";
import { SectionId } from "../wasm/module.js";
import { EMPTY_BLOCK, Op } from "../wasm/opcodes.js";
import { ValueType } from "../wasm/value-types.js";
import type { WriterContext } from "./code-target.js";
import { frameLayout, localsOf } from "./frame-layout.js";
import type { FunctionAnalysis } from "./function-analysis.js";
import { writeSection } from "./instrument.js";
import { headerOf, paramLocals } from "./loops.js";
import { writeLimits } from "./memory-types.js";
import type { Site } from "./sites.js";

/** Bytes of the guest's code that are repeated within a function, at most. */
export const LARGEST_REPEATED = 1 << 18;

/** Those of one continuation module. */
export class OuterTurns {
  readonly #largestRepeated: number;
  readonly #table: number;
  readonly #firstGlobal: number;
  /** Types of the registers, by their index behind the first. */
  readonly #registers: ValueType[] = [];
  readonly #registerOf = new Map<number, number>();
  /** By the name of a loop's header, in the order of the table. */
  readonly #slots = new Map<number, number>();

  /** `table` and `firstGlobal`: indices that the module's own ones get. */
  constructor(table: number, firstGlobal: number, largestRepeated: number) {
    this.#largestRepeated = largestRepeated;
    this.#table = table;
    this.#firstGlobal = firstGlobal;
  }

  /** Whether the further turns of these loops, outermost first, are to be functions of their own. */
  areApart({ positions, partners }: FunctionAnalysis, loops: readonly number[]): boolean {
    const byteLength = (i: number): number => (positions[partners[i] as number] as number) - (positions[i] as number);
    return loops.reduce((sum, i) => sum + byteLength(i), 0) > this.#largestRepeated;
  }

  /** The names of the headers that the functions go on at, in their order; writing one may add others behind. */
  names(): Iterable<number> {
    return this.#slots.keys();
  }

  /** Puts the frame of a loop's header into registers, with the loop's parameters on the stack. */
  keepFrame(context: WriterContext, loop: number): void {
    const { analysis, code } = context;
    code.localSets(paramLocals(context, loop));
    this.#eachRegister(analysis, headerOf(analysis, loop), (local, register) => {
      code.localGet(local);
      code.withIndex(Op.globalSet, register);
    });
  }

  /** Where a function begins that goes on at such a header. */
  loadFrame({ analysis, code }: WriterContext, site: Site): void {
    this.#eachRegister(analysis, site, (local, register) => {
      code.withIndex(Op.globalGet, register);
      code.localSet(local);
    });
  }

  /** In front of all constructs: the label that leads to the call of a loop's further turns. */
  open({ code }: WriterContext): number {
    code.bytes(Op.block, EMPTY_BLOCK);
    return code.nest();
  }

  /** Behind the body, in the reverse order. */
  close({ analysis, code, types }: WriterContext, loop: number): void {
    code.bytes(Op.return, Op.end);
    code.unnest();
    code.i32Const(this.#slotOf(headerOf(analysis, loop).offset));
    code.withIndex(Op.callIndirect, types.index([], analysis.type.results));
    code.u32(this.#table);
  }

  #slotOf(name: number): number {
    const known = this.#slots.get(name);
    if (known !== undefined) return known;
    this.#slots.set(name, this.#slots.size);
    return this.#slots.size - 1;
  }

  /** The nth value of a type is in the nth register of that type. */
  #eachRegister(analysis: FunctionAnalysis, site: Site, visit: (local: number, register: number) => void): void {
    const used = new Map<ValueType, number>();
    for (const local of localsOf(frameLayout(analysis, site))) {
      const type = analysis.typeOfLocal(local);
      const nth = used.get(type) ?? 0;
      used.set(type, nth + 1);
      visit(local, this.#register(type, nth));
    }
  }

  #register(type: ValueType, nth: number): number {
    const key = nth * 256 + type;
    const known = this.#registerOf.get(key);
    if (known !== undefined) return known;
    const register = this.#firstGlobal + this.#registers.push(type) - 1;
    this.#registerOf.set(key, register);
    return register;
  }

  writeTable(out: ByteWriter): void {
    if (this.#slots.size === 0) return;
    writeSection(out, SectionId.table, () => {
      out.u32(1);
      out.u8(ValueType.funcref);
      writeLimits(out, { minimum: this.#slots.size, maximum: undefined, shared: false });
    });
  }

  writeRegisters(out: ByteWriter): void {
    if (this.#registers.length === 0) return;
    writeSection(out, SectionId.global, () => {
      out.u32(this.#registers.length);
      for (const type of this.#registers) {
        out.u8(type);
        out.u8(1);
        out.copy(zeroOf(type));
        out.u8(Op.end);
      }
    });
  }

  /** `first`: the index of the first of their functions, which stand one behind the other. */
  writeElements(out: ByteWriter, first: number): void {
    if (this.#slots.size === 0) return;
    writeSection(out, SectionId.element, () => {
      out.u32(1);
      out.u32(ACTIVE_IN_TABLE);
      out.u32(this.#table);
      out.copy(Uint8Array.of(Op.i32Const, 0, Op.end, FUNCTIONS));
      out.u32(this.#slots.size);
      for (let slot = 0; slot < this.#slots.size; slot++) out.u32(first + slot);
    });
  }
}

/** Of an element segment: core specification, 5.5.12. */
const ACTIVE_IN_TABLE = 2;
const FUNCTIONS = 0;

/** A constant expression, without its end. */
function zeroOf(type: ValueType): Uint8Array {
  switch (type) {
    case ValueType.i32:
      return Uint8Array.of(Op.i32Const, 0);
    case ValueType.i64:
      return Uint8Array.of(Op.i64Const, 0);
    case ValueType.f32:
      return Uint8Array.of(Op.f32Const, 0, 0, 0, 0);
    case ValueType.f64:
      return Uint8Array.of(Op.f64Const, 0, 0, 0, 0, 0, 0, 0, 0);
    case ValueType.v128:
      return Uint8Array.of(Op.prefixSimd, V128_CONST, ...new Uint8Array(16));
    default:
      return Uint8Array.of(Op.refNull, type);
  }
}

const V128_CONST = 12;
