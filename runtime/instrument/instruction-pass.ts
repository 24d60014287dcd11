/**
 * One pass over a function's code: fills the tables of a FunctionAnalysis, and finds the sites with the operands below.
 * Control flow is here; instructions that only move values are in value-instructions.ts.
 *
 * The stack's types are followed as validation does (core spec appendix "Validation Algorithm"), except in unreachable
 * code, which is marked dead (A2) and moves nothing.
 */
import { typeOfFunction } from "../wasm/module.js";
import { EMPTY_BLOCK, Op } from "../wasm/opcodes.js";
import type { FunctionType } from "../wasm/value-types.js";
import { refuseOpcode } from "./body-scanner.js";
import { ControlStack } from "./control-stack.js";
import type { FunctionAnalysis } from "./function-analysis.js";
import { InstructionReader } from "./instruction-reader.js";
import { NOTHING, OperandStack } from "./operand-stack.js";
import { UNREACHABLE } from "./shared-guards.js";
import { LoopCost, type Site, SiteKind } from "./sites.js";
import { ValueInstructions } from "./value-instructions.js";

export class InstructionPass {
  /** Catch sections that a `rethrow` names. */
  readonly rethrownSections = new Set<number>();
  readonly #analysis: FunctionAnalysis;
  readonly #reader: InstructionReader;
  readonly #stack: OperandStack;
  readonly #values: ValueInstructions;
  readonly #control = new ControlStack();

  constructor(analysis: FunctionAnalysis) {
    this.#analysis = analysis;
    this.#reader = new InstructionReader(analysis.module.bytes);
    this.#stack = new OperandStack(analysis);
    this.#values = new ValueInstructions(analysis, this.#reader, this.#stack);
  }

  /** Reads the instructions in the bytes [from, to). */
  read(from: number, to: number): void {
    const analysis = this.#analysis;
    const reader = this.#reader;
    reader.position = from;
    this.rethrownSections.clear();
    this.#stack.clear();
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
      analysis.dead[i] = this.#stack.unreachable ? 1 : 0;
      analysis.heights[i] = this.#stack.unreachable ? UNREACHABLE : this.#stack.height;
      if (!this.#values.read(opcode, i)) this.#controlFlow(opcode, i);
    }
    analysis.positions[count] = reader.position;
    analysis.instructionCount = count;
  }

  /** Reads an index and keeps it. */
  #operand(i: number): number {
    const operand = this.#reader.leb();
    this.#analysis.operands[i] = operand;
    return operand;
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
        this.#stack.apply(1, NOTHING, i);
        break;
      case Op.call: {
        const callee = this.#operand(i);
        if (!this.#stack.unreachable) this.#call(typeOfFunction(module, callee), 0, graph.mayUnwind[callee] === 1, i);
        break;
      }
      case Op.callIndirect: {
        const typeIndex = this.#operand(i);
        this.#reader.skipLeb();
        const mayUnwind = graph.typeMayUnwind[graph.canonicalType[typeIndex] as number] === 1;
        if (!this.#stack.unreachable) this.#call(module.types[typeIndex] as FunctionType, 1, mayUnwind, i);
        break;
      }
      case Op.nop:
        break;
      case Op.rethrow:
        this.#noteRethrow(this.#operand(i));
        this.#stack.unreachable = true;
        break;
      case Op.br:
      case Op.throw:
      case Op.returnCall:
        this.#operand(i);
        this.#stack.unreachable = true;
        break;
      case Op.returnCallIndirect:
        this.#operand(i);
        this.#reader.skipLeb();
        this.#stack.unreachable = true;
        break;
      case Op.brTable:
        this.#reader.skipBranchTable();
        this.#stack.unreachable = true;
        break;
      case Op.return:
      case Op.unreachable:
      case Op.throwRef:
        this.#stack.unreachable = true;
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
    sites.push({
      instruction,
      kind,
      offset: positions[instruction] as number,
      operands,
      catchSections,
      live: [],
      tail: undefined,
    });
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
    if (!this.#stack.unreachable) stack.height -= params.length + (opcode === Op.if ? 1 : 0);
    analysis.baseHeights[i] = stack.height;
    this.#control.open(opcode, i, stack.height, this.#stack.unreachable, blockType);
    if (this.#stack.unreachable) return;
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
    this.#stack.unreachable = frame.isDead;
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
    this.#stack.unreachable = isDead;
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
    if (this.#stack.unreachable) return;
    const section = this.#control.target(label)?.section ?? -1;
    if (section >= 0) this.rethrownSections.add(section);
  }
}
