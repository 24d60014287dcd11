/**
 * The further turns of a loop around a site, in a function of their own: whatever the site at which a frame was left, they are
 * written and compiled once. Otherwise a continuation has each of the loops around its site once more, the inner ones in the
 * outer ones again; of one in Yosys, 214 KB with ten loops in one another, that was more than an engine takes for a function.
 *
 * At the end of the turn that is under way the frame of the loop's header is put into registers, globals that all continuation
 * modules of a machine share, and the function is called that goes on at that header. It is in a table, so that a better one can
 * take its place:
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
import { ByteWriter } from "../wasm/byte-writer.js";
import { ExternalKind, SectionId } from "../wasm/module.js";
import { EMPTY_BLOCK, Op } from "../wasm/opcodes.js";
import { WASM_HEADER, writeSection } from "../wasm/sections.js";
import { ValueType } from "../wasm/value-types.js";
import type { WriterContext } from "./code-target.js";
import { frameLayout, localsOf } from "./frame-layout.js";
import { headerOf, paramLocals } from "./loops.js";
import type { Site } from "./sites.js";

/** Bytes of the guest's code that are repeated within a function, at most. */
export const LARGEST_REPEATED = 1 << 15;

/** What a continuation module imports for it: a table and registers. */
export const TURNS_TABLE = "turns";

export function registerName(register: number): string {
  return `r${register}`;
}

/** For a stack trace: what stands there is no site of the frame. */
const NO_SITE = 0;

/** Where the further turns of one program's loops are in the table, and its registers; neither ever changes, both grow. */
export class TurnNumbers {
  /** Their types. */
  readonly registers: ValueType[] = [];
  readonly #registerOf = new Map<number, number>();
  readonly #slots = new Map<number, number>();

  /** By the name of a loop's header. */
  slotOf(header: number): number {
    const known = this.#slots.get(header);
    if (known !== undefined) return known;
    this.#slots.set(header, this.#slots.size);
    return this.#slots.size - 1;
  }

  /** The nth value of a type is in the nth register of that type. */
  registerOf(type: ValueType, nth: number): number {
    const key = nth * 256 + type;
    const known = this.#registerOf.get(key);
    if (known !== undefined) return known;
    this.#registerOf.set(key, this.registers.length);
    return this.registers.push(type) - 1;
  }
}

/** Those that one continuation module knows of. */
export class OuterTurns {
  readonly #numbers: TurnNumbers;
  readonly #apart: ReadonlySet<number>;
  readonly #table: number;
  readonly #firstGlobal: number;
  /** Registers that the module imports, in their order there. */
  readonly #imported: number[] = [];
  readonly #indices = new Map<number, number>();

  /** `apart`: by the names of their headers, loops whose further turns are functions. `table`, `firstGlobal`: indices of the imports. */
  constructor(numbers: TurnNumbers, apart: ReadonlySet<number>, table: number, firstGlobal: number) {
    this.#numbers = numbers;
    this.#apart = apart;
    this.#table = table;
    this.#firstGlobal = firstGlobal;
  }

  isApart(header: Site): boolean {
    return this.#apart.has(header.offset);
  }

  get importCount(): number {
    return 1 + this.#imported.length;
  }

  /** Puts the frame of a loop's header into registers, with the loop's parameters on the stack. */
  keepFrame(context: WriterContext, loop: number): void {
    context.code.localSets(paramLocals(context, loop));
    this.passFrame(context, headerOf(context.analysis, loop));
  }

  /** The same with its parameters in their locals. */
  passFrame(context: WriterContext, header: Site): void {
    this.#eachRegister(context, header, (local, register) => {
      context.code.localGet(local);
      context.code.withIndex(Op.globalSet, register);
    });
  }

  /** Where a function begins that goes on at such a header. */
  loadFrame(context: WriterContext, header: Site): void {
    this.#eachRegister(context, header, (local, register) => {
      context.code.withIndex(Op.globalGet, register);
      context.code.localSet(local);
    });
  }

  /** In front of all constructs: the label that leads to the call of a loop's further turns. */
  open({ code }: WriterContext): number {
    code.bytes(Op.block, EMPTY_BLOCK);
    return code.nest();
  }

  /** Behind the body, in the reverse order. */
  close(context: WriterContext, loop: number): void {
    context.code.bytes(Op.return, Op.end);
    context.code.unnest();
    this.call(context, headerOf(context.analysis, loop));
  }

  /** U1. */
  call({ analysis, code, types, target }: WriterContext, header: Site): void {
    target.sites?.note(code.position, NO_SITE);
    code.i32Const(this.#numbers.slotOf(header.offset));
    code.withIndex(Op.callIndirect, types.index([], analysis.type.results));
    code.u32(this.#table);
  }

  #eachRegister({ analysis }: WriterContext, header: Site, visit: (local: number, register: number) => void): void {
    const used = new Map<ValueType, number>();
    for (const local of localsOf(frameLayout(analysis, header))) {
      const type = analysis.typeOfLocal(local);
      const nth = used.get(type) ?? 0;
      used.set(type, nth + 1);
      visit(local, this.#indexOf(this.#numbers.registerOf(type, nth)));
    }
  }

  #indexOf(register: number): number {
    const known = this.#indices.get(register);
    if (known !== undefined) return known;
    const index = this.#firstGlobal + this.#imported.push(register) - 1;
    this.#indices.set(register, index);
    return index;
  }

  writeTableImport(out: ByteWriter, from: string): void {
    out.name(from);
    out.name(TURNS_TABLE);
    out.u8(ExternalKind.table);
    out.copy(Uint8Array.of(ValueType.funcref, 0, 0));
  }

  writeRegisterImports(out: ByteWriter, from: string): void {
    for (const register of this.#imported) {
      out.name(from);
      out.name(registerName(register));
      out.u8(ExternalKind.global);
      out.u8(this.#numbers.registers[register] as ValueType);
      out.u8(1);
    }
  }
}

/** A module that has registers, from the one with number `first` on, and exports them. JavaScript cannot make those of every type. */
export function buildRegisters(types: readonly ValueType[], first: number): Uint8Array<ArrayBuffer> {
  const out = new ByteWriter(1024);
  out.copy(WASM_HEADER);
  const added = types.slice(first);
  writeSection(out, SectionId.global, () => {
    out.u32(added.length);
    for (const type of added) {
      out.u8(type);
      out.u8(1);
      out.copy(zeroOf(type));
      out.u8(Op.end);
    }
  });
  writeSection(out, SectionId.export, () => {
    out.u32(added.length);
    added.forEach((_, index) => {
      out.name(registerName(first + index));
      out.u8(ExternalKind.global);
      out.u32(index);
    });
  });
  return out.bytes.slice(0, out.length) as Uint8Array<ArrayBuffer>;
}

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
