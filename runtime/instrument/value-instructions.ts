/**
 * The instructions that only move values: what each pops and pushes, and how many bytes of code it takes. None begins or ends
 * a block, and none is a site.
 */
import { ATOMIC, Misc, Op, PLAIN, SIMD } from "../wasm/opcodes.js";
import { ValueType } from "../wasm/value-types.js";
import type { FunctionAnalysis } from "./function-analysis.js";
import type { InstructionReader } from "./instruction-reader.js";
import { NOTHING, type OperandStack } from "./operand-stack.js";

export class ValueInstructions {
  readonly #analysis: FunctionAnalysis;
  readonly #reader: InstructionReader;
  readonly #stack: OperandStack;

  constructor(analysis: FunctionAnalysis, reader: InstructionReader, stack: OperandStack) {
    this.#analysis = analysis;
    this.#reader = reader;
    this.#stack = stack;
  }

  /** False: it is control flow, and nothing of it was read but the opcode. `i`: its index. */
  read(opcode: number, i: number): boolean {
    const reader = this.#reader;
    const stack = this.#stack;
    if (opcode >= Op.i32Eqz && opcode <= Op.i64Extend32S) {
      this.#applyFrom(PLAIN, opcode, i);
      return true;
    }
    if (opcode >= Op.i32Load && opcode <= Op.i64Store32) {
      reader.skipMemarg();
      this.#applyFrom(PLAIN, opcode, i);
      return true;
    }
    const { module, localTypes } = this.#analysis;
    switch (opcode) {
      case Op.localGet:
        stack.apply(0, localTypes[this.#operand(i)] as number, i);
        break;
      case Op.localSet:
        this.#operand(i);
        stack.apply(1, NOTHING, i);
        break;
      case Op.localTee:
        stack.apply(1, localTypes[this.#operand(i)] as number, i);
        break;
      case Op.i32Const:
        reader.skipLeb();
        stack.apply(0, ValueType.i32, i);
        break;
      case Op.i64Const:
        reader.skipLeb();
        stack.apply(0, ValueType.i64, i);
        break;
      case Op.f32Const:
        reader.position += 4;
        stack.apply(0, ValueType.f32, i);
        break;
      case Op.f64Const:
        reader.position += 8;
        stack.apply(0, ValueType.f64, i);
        break;
      case Op.drop:
        stack.apply(1, NOTHING, i);
        break;
      case Op.select:
      case Op.selectTyped:
        if (opcode === Op.selectTyped) reader.skipSelectTypes();
        stack.apply(3, stack.typeAt(stack.height - 3), i);
        break;
      case Op.globalGet:
        stack.apply(0, module.globals[reader.leb()]?.type ?? NOTHING, i);
        break;
      case Op.globalSet:
        reader.skipLeb();
        stack.apply(1, NOTHING, i);
        break;
      case Op.tableGet:
        stack.apply(1, module.tables[reader.leb()]?.element ?? NOTHING, i);
        break;
      case Op.tableSet:
        reader.skipLeb();
        stack.apply(2, NOTHING, i);
        break;
      case Op.memorySize:
        reader.skipLeb();
        stack.apply(0, ValueType.i32, i);
        break;
      case Op.memoryGrow:
        this.#operand(i);
        stack.apply(1, ValueType.i32, i);
        break;
      case Op.refNull:
        stack.apply(0, reader.u8(), i);
        break;
      case Op.refIsNull:
        stack.apply(1, ValueType.i32, i);
        break;
      case Op.refFunc:
        this.#operand(i);
        stack.apply(0, ValueType.funcref, i);
        break;
      case Op.prefixMisc:
        this.#misc(i);
        break;
      case Op.prefixSimd:
      case Op.prefixAtomic: {
        const table = opcode === Op.prefixSimd ? SIMD : ATOMIC;
        const sub = reader.leb();
        reader.skipImmediates(table, sub);
        this.#applyFrom(table, sub, i);
        break;
      }
      default:
        return false;
    }
    return true;
  }

  #misc(i: number): void {
    const reader = this.#reader;
    const stack = this.#stack;
    const sub = reader.leb();
    if (sub < Misc.memoryInit) {
      stack.apply(1, sub < 4 ? ValueType.i32 : ValueType.i64, i);
      return;
    }
    this.#operand(i);
    const pair = sub === Misc.memoryInit || sub === Misc.memoryCopy || sub === Misc.tableInit || sub === Misc.tableCopy;
    if (pair) reader.skipLeb();
    if (sub === Misc.tableGrow) stack.apply(2, ValueType.i32, i);
    else if (sub === Misc.tableSize) stack.apply(0, ValueType.i32, i);
    else if (sub !== Misc.dataDrop && sub !== Misc.elemDrop) stack.apply(3, NOTHING, i);
  }

  #applyFrom(table: { pops: Uint8Array; pushes: Uint8Array }, opcode: number, i: number): void {
    this.#stack.apply(table.pops[opcode] as number, table.pushes[opcode] as number, i);
  }

  /** Reads an index and keeps it. */
  #operand(i: number): number {
    const operand = this.#reader.leb();
    this.#analysis.operands[i] = operand;
    return operand;
  }
}
