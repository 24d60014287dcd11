/**
 * Writes one function in its instrumented form, in four parts: guarded calls, loops that are polled, the guest's own
 * exceptions, and everything else, which is copied. The entry is polled too where the call graph asks for it.
 *
 * The main module's and continuation modules' code is the same but for indices: see CodeTarget.
 */
import { ByteReader } from "../wasm/byte-reader.js";
import type { ByteWriter } from "../wasm/byte-writer.js";
import { Misc, Op } from "../wasm/opcodes.js";
import { ValueType } from "../wasm/value-types.js";
import { CodeBuffer } from "./code-buffer.js";
import {
  type AddedLocals,
  type CodeTarget,
  NO_ADDED_LOCALS,
  NO_LOCAL,
  type PollMode,
  type WriterContext,
} from "./code-target.js";
import type { FunctionAnalysis } from "./function-analysis.js";
import { closeSharedGuard, openSharedGuard, writeBareCall, writeCall } from "./guarded-calls.js";
import { closeConstruct, openCatch, openTry, openTryTable } from "./guest-exceptions.js";
import { counterStep, type WriteSequence, writeLoop } from "./loops.js";
import { outerHandlers } from "./outer-handlers.js";
import { copyResult, crossSafepoint } from "./polls-and-spills.js";
import { thunkName } from "./segment-helpers.js";
import type { SharedGuard } from "./shared-guards.js";
import { TailCode } from "./shared-tails.js";
import { SiteKind } from "./sites.js";
import { addStoreLocals, NO_STORE_LOCALS, storeOf, writeTrackedStore } from "./tracked-stores.js";
import type { TypeTable } from "./type-table.js";

export class BodyWriter {
  readonly context: WriterContext;
  readonly #writeSequence: WriteSequence = (from, to) => this.sequence(from, to);

  constructor(analysis: FunctionAnalysis, target: CodeTarget, types: TypeTable, mode: PollMode, out: ByteWriter) {
    const code = new CodeBuffer(analysis, out, target.hints);
    this.context = {
      analysis,
      target,
      types,
      mode,
      code,
      locals: NO_ADDED_LOCALS,
      inCountedLoop: false,
      inSharedGuard: false,
      guestTryTables: 0,
      outerHandlers: undefined,
      tailCode: new TailCode(analysis),
      storeLocals: NO_STORE_LOCALS,
    };
  }

  /** The current function's body, sized. */
  writeFunction(): void {
    const { sites, instructionCount } = this.context.analysis;
    const at = this.begin([]);
    const entry = sites[0];
    if (entry !== undefined && entry.kind === SiteKind.entry) crossSafepoint(this.context, entry);
    this.sequence(0, instructionCount - 1);
    this.finish(at);
  }

  /** The end of a body that was begun. */
  finish(at: number): void {
    this.context.outerHandlers?.close(this.context);
    this.context.tailCode.close(this.context);
    this.context.code.finish(at);
  }

  /** Begins a body whose first locals are `params` (those that are not parameters of the emitted function). */
  begin(params: readonly ValueType[]): number {
    const { analysis, code, target } = this.context;
    analysis.dropAddedLocals();
    this.context.outerHandlers = outerHandlers(this.context);
    this.context.tailCode = new TailCode(analysis);
    this.context.locals = this.#addLocals();
    if (target.helpers.stored !== undefined) this.context.storeLocals = addStoreLocals(analysis);
    const groups: [number, ValueType][] = [];
    const add = (count: number, valueType: ValueType): void => {
      const last = groups[groups.length - 1];
      if (last !== undefined && last[1] === valueType) last[0] += count;
      else if (count > 0) groups.push([count, valueType]);
    };
    for (const param of params) add(1, param);
    for (const [count, valueType] of analysis.localGroups) add(count, valueType);
    for (const valueType of analysis.temporaryTypes) add(1, valueType);
    const at = code.begin(groups);
    this.context.tailCode.open(this.context);
    this.context.outerHandlers?.open(this.context);
    return at;
  }

  #addLocals(): AddedLocals {
    const { analysis, target } = this.context;
    let polls = false;
    let largestStep = 0;
    let indirect = false;
    for (const { kind, instruction } of analysis.sites) {
      if (kind !== SiteKind.call) polls = true;
      if (kind === SiteKind.loop) {
        largestStep = Math.max(largestStep, counterStep(this.context, analysis.partners[instruction] as number));
      } else if (kind === SiteKind.call) indirect ||= analysis.opcodes[instruction] === Op.callIndirect;
    }
    const add = (wanted: boolean): number => (wanted ? analysis.addLocal(ValueType.i32) : NO_LOCAL);
    return {
      fuel: add(polls && target.flag === undefined),
      counter: add(largestStep > 0),
      index: add(indirect),
      site: add(analysis.sharedGuards.size > 0 || this.context.outerHandlers?.areShared === true),
      mixedSteps: largestStep > 1,
    };
  }

  /** Instructions `from` to `to` (exclusive), in their instrumented form. */
  sequence(from: number, to: number): void {
    const context = this.context;
    const { analysis, code, target } = context;
    const { opcodes, operands, dead, siteOf, sites, partners, arms, sharedGuards } = analysis;
    const { continuation } = target;
    for (let i = from; i < to; i++) {
      if (dead[i] === 1) continue;
      const guard = context.inSharedGuard ? undefined : sharedGuards.get(i);
      if (guard !== undefined && guard.to <= to) {
        this.#writeGuarded(guard);
        i = guard.to - 1;
        continue;
      }
      target.positions?.note(code.position, analysis.positions[i] as number);
      const opcode = opcodes[i] as number;
      switch (opcode) {
        case Op.block:
        case Op.if:
          code.copyInstruction(i);
          code.enter();
          break;
        case Op.try:
          openTry(context, i, operands[i] as number);
          break;
        case Op.tryTable:
          openTryTable(context, i, operands[i] as number, analysis.blockParams(operands[i] as number));
          break;
        case Op.loop:
          writeLoop(context, i, this.#writeSequence);
          i = partners[i] as number;
          break;
        case Op.else:
          code.copyInstruction(i);
          break;
        case Op.catch:
        case Op.catchAll:
          openCatch(context, i, arms[i] === 1);
          break;
        case Op.delegate:
          code.leave();
          code.withIndex(Op.delegate, code.label(operands[i] as number));
          break;
        case Op.end:
          closeConstruct(context, i);
          break;
        case Op.br:
        case Op.brIf:
        case Op.rethrow:
          this.#branch(i, opcode, operands[i] as number);
          break;
        case Op.brTable:
          this.#branchTable(i);
          break;
        case Op.call:
        case Op.callIndirect: {
          const site = sites[(siteOf[i] as number) - 1];
          if (site !== undefined) writeCall(context, i, site);
          else writeBareCall(context, i);
          break;
        }
        case Op.returnCall:
          if (continuation === undefined) code.copyInstruction(i);
          else code.withIndex(Op.returnCall, continuation.functionIndex(operands[i] as number));
          break;
        case Op.refFunc:
          if (continuation === undefined) code.copyInstruction(i);
          else {
            code.i32Const(operands[i] as number);
            code.withIndex(Op.tableGet, continuation.functionTable);
          }
          break;
        case Op.memoryGrow:
          code.call(target.helper(`grow:${operands[i]}`));
          break;
        default:
          this.#value(i, opcode);
      }
      // The copy of a loop's results belongs to its end, where `i` stands now.
      if ((analysis.copies[i] as number) !== 0 || analysis.multiProducers.size > 0) copyResult(context, i);
    }
    code.flush();
  }

  /** A run of statements whose calls share a guard. */
  #writeGuarded(guard: SharedGuard): void {
    openSharedGuard(this.context, guard);
    this.sequence(guard.from, guard.to);
    closeSharedGuard(this.context, guard);
  }

  /** An instruction that only moves values. */
  #value(i: number, opcode: number): void {
    const { analysis, target } = this.context;
    const store = target.helpers.stored === undefined ? undefined : storeOf(analysis, i);
    if (store === undefined) this.#write(i, opcode);
    else writeTrackedStore(this.context, store, () => this.#write(i, opcode));
  }

  #write(i: number, opcode: number): void {
    if (opcode === Op.prefixMisc) this.#misc(i);
    else this.context.code.copyInstruction(i);
  }

  #branch(i: number, opcode: number, depth: number): void {
    const { code } = this.context;
    const label = code.label(depth);
    if (label === depth) code.copyInstruction(i);
    else code.withIndex(opcode, label);
  }

  #branchTable(i: number): void {
    const { analysis, code } = this.context;
    const reader = new ByteReader(analysis.module.bytes, (analysis.positions[i] as number) + 1);
    const count = reader.u32();
    code.withIndex(Op.brTable, count);
    for (let n = 0; n <= count; n++) code.u32(code.label(reader.u32()));
  }

  /** Segments belong to the main instance, and dropped ones are noted, so their instructions become calls. */
  #misc(i: number): void {
    const { analysis, code, target } = this.context;
    const reader = new ByteReader(analysis.module.bytes, (analysis.positions[i] as number) + 1);
    const sub = reader.u32();
    const segment = analysis.operands[i] as number;
    if (sub === Misc.dataDrop || sub === Misc.elemDrop) code.call(target.helper(thunkName(sub, segment, 0)));
    else if ((sub === Misc.memoryInit || sub === Misc.tableInit) && target.continuation !== undefined) {
      reader.u32();
      code.call(target.helper(thunkName(sub, segment, reader.u32())));
    } else code.copyInstruction(i);
  }
}
