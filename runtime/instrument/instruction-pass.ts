/**
 * One pass over a function's code: fills the tables of a FunctionAnalysis, and finds the sites with the operands below.
 *
 * The stack's types are followed as validation does (core spec appendix "Validation Algorithm"), except in unreachable
 * code, which is marked dead (A2) and moves nothing.
 */
import { typeOfFunction } from "../wasm/module.js";
import { ATOMIC, EMPTY_BLOCK, Misc, Op, PLAIN, SIMD } from "../wasm/opcodes.js";
import { type FunctionType, ValueType } from "../wasm/value-types.js";
import { refuseOpcode } from "./body-scanner.js";
import { ControlStack } from "./control-stack.js";
import type { FunctionAnalysis } from "./function-analysis.js";
import { InstructionReader } from "./instruction-reader.js";
import { OperandStack } from "./operand-stack.js";
import { UNREACHABLE } from "./shared-guards.js";
import { LoopCost, type Site, SiteKind } from "./sites.js";

/** In place of a type: the instruction pushes nothing. */
const NOTHING = 0;

export class InstructionPass {
  /** Catch sections that a `rethrow` names. */
  readonly rethrownSections = new Set<number>();
  readonly #analysis: FunctionAnalysis;
  readonly #reader: InstructionReader;
  readonly #stack: OperandStack;
  readonly #control = new ControlStack();
  #unreachable = false;

  constructor(analysis: FunctionAnalysis) {
    this.#analysis = analysis;
    this.#reader = new InstructionReader(analysis.module.bytes);
    this.#stack = new OperandStack(analysis);
  }

  /** Reads the instructions in the bytes [from, to). */
  read(from: number, to: number): void {
    const analysis = this.#analysis;
    const reader = this.#reader;
    reader.position = from;
    this.rethrownSections.clear();
    this.#stack.height = 0;
    this.#unreachable = false;
    this.#control.clear();
    this.#control.open(Op.block, -1, 0, false, EMPTY_BLOCK - 0x80);
    let count = 0;
    while (reader.position < to) {
      const i = count++;
      analysis.reserve(count);
      analysis.positions[i] = reader.position;
      const opcode = reader.u8();
      analysis.opcodes[i] = opcode;
      analysis.copies[i] = 0;
      analysis.siteOf[i] = 0;
      analysis.dead[i] = this.#unreachable ? 1 : 0;
      analysis.heights[i] = this.#unreachable ? UNREACHABLE : this.#stack.height;
      if (opcode >= Op.i32Eqz && opcode <= Op.i64Extend32S) this.#effectOf(PLAIN, opcode, i);
      else if (opcode >= Op.i32Load && opcode <= Op.i64Store32) {
        reader.skipMemarg();
        this.#effectOf(PLAIN, opcode, i);
      } else this.#value(opcode, i);
    }
    analysis.positions[count] = reader.position;
    analysis.instructionCount = count;
  }

  /** Pops, then pushes a type or NOTHING. */
  #effect(pops: number, pushes: number, i: number): void {
    if (this.#unreachable) return;
    this.#stack.height -= pops;
    if (pushes !== NOTHING) this.#stack.push(pushes, i);
  }

  #effectOf(table: { pops: Uint8Array; pushes: Uint8Array }, opcode: number, i: number): void {
    this.#effect(table.pops[opcode] as number, table.pushes[opcode] as number, i);
  }

  /** Reads an index and keeps it. */
  #operand(i: number): number {
    const operand = this.#reader.leb();
    this.#analysis.operands[i] = operand;
    return operand;
  }

  /** Instructions that only move values; the rest is control flow. */
  #value(opcode: number, i: number): void {
    const { module, localTypes } = this.#analysis;
    const reader = this.#reader;
    switch (opcode) {
      case Op.localGet:
        this.#effect(0, localTypes[this.#operand(i)] as number, i);
        break;
      case Op.localSet:
        this.#operand(i);
        this.#effect(1, NOTHING, i);
        break;
      case Op.localTee:
        this.#effect(1, localTypes[this.#operand(i)] as number, i);
        break;
      case Op.i32Const:
        reader.skipLeb();
        this.#effect(0, ValueType.i32, i);
        break;
      case Op.i64Const:
        reader.skipLeb();
        this.#effect(0, ValueType.i64, i);
        break;
      case Op.f32Const:
        reader.position += 4;
        this.#effect(0, ValueType.f32, i);
        break;
      case Op.f64Const:
        reader.position += 8;
        this.#effect(0, ValueType.f64, i);
        break;
      case Op.drop:
        this.#effect(1, NOTHING, i);
        break;
      case Op.select:
      case Op.selectTyped:
        if (opcode === Op.selectTyped) reader.skipSelectTypes();
        this.#effect(3, this.#stack.typeAt(this.#stack.height - 3), i);
        break;
      case Op.globalGet:
        this.#effect(0, module.globals[reader.leb()]?.type ?? NOTHING, i);
        break;
      case Op.globalSet:
        reader.skipLeb();
        this.#effect(1, NOTHING, i);
        break;
      case Op.tableGet:
        this.#effect(1, module.tables[reader.leb()]?.element ?? NOTHING, i);
        break;
      case Op.tableSet:
        reader.skipLeb();
        this.#effect(2, NOTHING, i);
        break;
      case Op.memorySize:
        reader.skipLeb();
        this.#effect(0, ValueType.i32, i);
        break;
      case Op.memoryGrow:
        this.#operand(i);
        this.#effect(1, ValueType.i32, i);
        break;
      case Op.refNull:
        this.#effect(0, reader.u8(), i);
        break;
      case Op.refIsNull:
        this.#effect(1, ValueType.i32, i);
        break;
      case Op.refFunc:
        this.#operand(i);
        this.#effect(0, ValueType.funcref, i);
        break;
      case Op.prefixMisc:
        this.#misc(i);
        break;
      case Op.prefixSimd:
      case Op.prefixAtomic: {
        const table = opcode === Op.prefixSimd ? SIMD : ATOMIC;
        const sub = reader.leb();
        reader.skipImmediates(table, sub);
        this.#effectOf(table, sub, i);
        break;
      }
      default:
        this.#controlFlow(opcode, i);
    }
  }

  #misc(i: number): void {
    const sub = this.#reader.leb();
    if (sub < Misc.memoryInit) {
      this.#effect(1, sub < 4 ? ValueType.i32 : ValueType.i64, i);
      return;
    }
    this.#operand(i);
    const pair = sub === Misc.memoryInit || sub === Misc.memoryCopy || sub === Misc.tableInit || sub === Misc.tableCopy;
    if (pair) this.#reader.skipLeb();
    if (sub === Misc.tableGrow) this.#effect(2, ValueType.i32, i);
    else if (sub === Misc.tableSize) this.#effect(0, ValueType.i32, i);
    else if (sub !== Misc.dataDrop && sub !== Misc.elemDrop) this.#effect(3, NOTHING, i);
  }

  #controlFlow(opcode: number, i: number): void {
    const { module, graph } = this.#analysis;
    switch (opcode) {
      case Op.block:
      case Op.loop:
      case Op.if:
      case Op.try:
      case Op.tryTable:
        this.#openBlock(opcode, i);
        break;
      case Op.else:
      case Op.catch:
      case Op.catchAll:
        this.#openSection(opcode, i);
        break;
      case Op.end:
        this.#closeBlock(opcode, i);
        break;
      case Op.delegate:
        this.#operand(i);
        this.#closeBlock(opcode, i);
        break;
      case Op.brIf:
        this.#operand(i);
        this.#effect(1, NOTHING, i);
        break;
      case Op.call: {
        const callee = this.#operand(i);
        if (!this.#unreachable) this.#call(typeOfFunction(module, callee), 0, graph.mayUnwind[callee] === 1, i);
        break;
      }
      case Op.callIndirect: {
        const typeIndex = this.#operand(i);
        this.#reader.skipLeb();
        const mayUnwind = graph.typeMayUnwind[graph.canonicalType[typeIndex] as number] === 1;
        if (!this.#unreachable) this.#call(module.types[typeIndex] as FunctionType, 1, mayUnwind, i);
        break;
      }
      case Op.nop:
        break;
      case Op.rethrow:
        this.#noteRethrow(this.#operand(i));
        this.#unreachable = true;
        break;
      case Op.br:
      case Op.throw:
      case Op.returnCall:
        this.#operand(i);
        this.#unreachable = true;
        break;
      case Op.returnCallIndirect:
        this.#operand(i);
        this.#reader.skipLeb();
        this.#unreachable = true;
        break;
      case Op.brTable:
        this.#reader.skipBranchTable();
        this.#unreachable = true;
        break;
      case Op.return:
      case Op.unreachable:
      case Op.throwRef:
        this.#unreachable = true;
        break;
      default:
        refuseOpcode(opcode, this.#reader.position - 1);
    }
  }

  #call({ params, results }: FunctionType, operandsBeside: number, mayUnwind: boolean, i: number): void {
    this.#stack.height -= params.length + operandsBeside;
    this.#control.raiseCost(LoopCost.calls);
    if (mayUnwind) this.#addSite(i, SiteKind.call);
    this.#stack.pushAll(results, i, false);
  }

  #addSite(instruction: number, kind: Site["kind"]): void {
    const { sites, siteOf, positions } = this.#analysis;
    const operands = this.#stack.keepAll();
    const catchSections = this.#control.sections();
    sites.push({ instruction, kind, offset: positions[instruction] as number, operands, catchSections, live: [] });
    siteOf[instruction] = sites.length;
  }

  #openBlock(opcode: number, i: number): void {
    const analysis = this.#analysis;
    const stack = this.#stack;
    const blockType = this.#reader.blockType();
    if (opcode === Op.tryTable) this.#reader.skipTryTableClauses();
    analysis.operands[i] = blockType;
    analysis.arms[i] = 0;
    const params = analysis.blockParams(blockType);
    if (!this.#unreachable) stack.height -= params.length + (opcode === Op.if ? 1 : 0);
    analysis.baseHeights[i] = stack.height;
    this.#control.open(opcode, i, stack.height, this.#unreachable, blockType);
    if (this.#unreachable) return;
    stack.pushAll(params, i, true);
    // Parameters are operands of the site too: they are copied at the header, once each turn.
    if (opcode === Op.loop) this.#addSite(i, SiteKind.loop);
  }

  #openSection(opcode: number, i: number): void {
    const analysis = this.#analysis;
    const { operands, arms } = analysis;
    const frame = this.#control.innermost();
    const { start } = frame;
    analysis.partners[i] = start;
    arms[i] = 0;
    if (opcode === Op.else) arms[start] = i;
    else {
      if (opcode === Op.catch) this.#operand(i);
      this.#control.raiseCost(LoopCost.nested);
      if (arms[start] === 0) {
        arms[start] = i;
        arms[i] = 1;
      }
      frame.section = i;
    }
    this.#unreachable = frame.isDead;
    analysis.dead[i] = frame.isDead ? 1 : 0;
    if (frame.isDead) return;
    this.#stack.height = frame.height;
    if (opcode === Op.else) this.#stack.pushAll(analysis.blockParams(frame.blockType), i, true);
    else if (opcode === Op.catch) this.#stack.pushAll(analysis.tagParams(operands[i] as number), i, true);
  }

  #closeBlock(opcode: number, i: number): void {
    const analysis = this.#analysis;
    const { opcode: blockOpcode, start, height, isDead, blockType, cost } = this.#control.close();
    analysis.partners[i] = start;
    if (start >= 0) analysis.partners[start] = i;
    analysis.dead[i] = isDead ? 1 : 0;
    analysis.arms[i] = 0;
    this.#unreachable = isDead;
    if (this.#control.isEmpty) return;
    if (!isDead) {
      this.#stack.height = height;
      this.#stack.pushAll(analysis.blockResults(blockType), i, false);
    }
    analysis.loopCosts[i] = cost;
    const isOwn = blockOpcode === Op.loop || opcode === Op.delegate;
    this.#control.raiseCost(isOwn ? Math.max(cost, LoopCost.nested) : cost);
  }

  #noteRethrow(label: number): void {
    if (this.#unreachable) return;
    const section = this.#control.target(label)?.section ?? -1;
    if (section >= 0) this.rethrownSections.add(section);
  }
}
