/**
 * Writes one function in its instrumented form, and the rest of one from a site (its continuation).
 *
 * A call that can unwind stands in a `try` whose handler saves the activation's frame and lets the exception go on:
 *
 *     try (type of callee)           ;; nothing is paid here while nothing is thrown
 *       call $f
 *     catch $unwind
 *       <spill operands and live locals>   ;; frame-stack.ts
 *       call $frameN (.., site)
 *       rethrow 0
 *     end
 *
 * Modules that use exnref get the same with try_table (an engine refuses a mix of both). Unchanged instructions are
 * copied in runs. A guest's catch_all must not see the unwinding: `catch $unwind rethrow` is put before it, and the
 * same for the exit tag. docs/rationale.md#why-exceptions
 *
 * Loops without calls that can unwind are polled by a counter in a local; the small ones are chained `COPIES` times, so
 * that one back edge in `COPIES` is counted. docs/rationale.md#where-polls-go
 */
import { ByteReader } from "../wasm/byte-reader.js";
import type { ByteWriter } from "../wasm/byte-writer.js";
import { typeOfFunction } from "../wasm/module.js";
import { EMPTY_BLOCK, Misc, Op } from "../wasm/opcodes.js";
import { type FunctionType, ValueType } from "../wasm/value-types.js";
import { frameLayout } from "./frame-layout.js";
import { CHUNK } from "./frame-stack.js";
import { type FunctionAnalysis, LoopCost, type Site, SiteKind } from "./function-analysis.js";
import type { HelperIndices } from "./helpers.js";
import type { TypeTable } from "./type-table.js";

/** How safepoints are counted: every one of them, or so that hot loops pay least. Frames are the same. */
export type PollMode = "exact" | "fast";

/** Where code is written for: index mappings of the main module or of a continuation module. */
export interface CodeTarget {
  readonly helpers: HelperIndices;
  readonly fuelGlobal: number;
  readonly unwindTag: number;
  readonly exitTag: number;
  /** Undefined in the main module, whose indices are the guest's. */
  readonly continuation: ContinuationTarget | undefined;
  readonly exnref: boolean;
  /** Index of a helper by name. */
  helper(name: string): number;
}

export interface ContinuationTarget {
  functionIndex(index: number): number;
  /** Steps to the next frame and returns its slot. */
  readonly next: number;
  readonly continuationTable: number;
  readonly functionTable: number;
}

/** Chained copies of a small loop's body, and the largest body in bytes that is copied. */
const COPIES = 4;
const LARGEST_COPIED_BODY = 160;
/** Turns of a counted loop between two looks at the fuel, and the fuel they cost. */
const TURNS_PER_CHECK = 1024;
const FUEL_PER_CHECK = 256;
/** What a turn of a loop with loops inside takes off the counter; those share it. */
const STEP_OF_NESTED = 8;

const NO_LOCAL = -1;

/** A guest block on the way, by control depth. */
interface OpenConstruct {
  /** Emitted depth of its label. */
  label: number;
  /** A try_table that stands in a wrapper, a try with an inner try: closed by more than one `end`. */
  wrapped: boolean;
}

export class BodyWriter {
  readonly #analysis: FunctionAnalysis;
  readonly #target: CodeTarget;
  readonly #types: TypeTable;
  readonly #mode: PollMode;
  readonly #out: ByteWriter;
  readonly #constructs: OpenConstruct[] = [];
  #depth = 0;
  #runFrom = -1;
  #runTo = -1;
  #counterLocal = NO_LOCAL;
  #fuelLocal = NO_LOCAL;
  #indexLocal = NO_LOCAL;
  /** Whether loops of the function take different steps off its counter, so that it may pass below zero. */
  #mixedSteps = false;

  constructor(analysis: FunctionAnalysis, target: CodeTarget, types: TypeTable, mode: PollMode, out: ByteWriter) {
    this.#analysis = analysis;
    this.#target = target;
    this.#types = types;
    this.#mode = mode;
    this.#out = out;
  }

  /** The current function's body, sized. */
  writeFunction(): void {
    const at = this.#begin(false);
    const { sites, instructionCount } = this.#analysis;
    const entry = sites[0];
    if (entry !== undefined && entry.kind === SiteKind.entry) {
      this.#burnFuel();
      this.#bytes(Op.i32Eqz, Op.if, EMPTY_BLOCK);
      this.#pollAndSpill(entry);
      this.#bytes(Op.end);
    }
    this.#sequence(0, instructionCount - 1);
    this.#finish(at);
  }

  /** The rest of the current function from a site, sized: a function of type [] -> results. */
  writeContinuation(site: Site): void {
    const at = this.#begin(true);
    this.#loadFrame(site);
    const analysis = this.#analysis;
    const path = this.#pathTo(site);
    let loaded = 0;
    const load = (upTo: number): void => {
      for (; loaded < upTo; loaded++) this.#localGet(site.operands[loaded] as number);
    };
    const exits: number[] = [];
    path.forEach((step, k) => {
      load(analysis.baseHeights[step.start] as number);
      exits[k] = this.#openOnPath(step);
    });
    load(site.operands.length);
    let from = 0;
    if (site.kind === SiteKind.call) {
      this.#resumeCall(site);
      from = site.instruction + 1;
    } else if (site.kind === SiteKind.loop) {
      this.#sequenceLoop(site.instruction);
      this.#copyResult(analysis.partners[site.instruction] as number);
      from = (analysis.partners[site.instruction] as number) + 1;
    }
    for (let k = path.length - 1; k >= 0; k--) {
      from = this.#restOf(path[k] as PathStep, from, exits[k] as number, site);
    }
    this.#sequence(from, analysis.instructionCount - 1);
    this.#finish(at);
  }

  // Bytes.

  #bytes(...bytes: number[]): void {
    this.#flush();
    for (const byte of bytes) this.#out.u8(byte);
  }

  #localGet(local: number): void {
    this.#bytes(Op.localGet);
    this.#out.u32(local);
  }

  #localSet(local: number): void {
    this.#bytes(Op.localSet);
    this.#out.u32(local);
  }

  #i32Const(value: number): void {
    this.#bytes(Op.i32Const);
    this.#out.s32(value);
  }

  #call(index: number): void {
    this.#bytes(Op.call);
    this.#out.u32(index);
  }

  #withIndex(opcode: number, index: number): void {
    this.#bytes(opcode);
    this.#out.u32(index);
  }

  #blockType(blockType: number): void {
    if (blockType < 0) this.#out.u8(blockType + 0x80);
    else this.#out.s32(blockType);
  }

  /** A blocktype without parameters that yields the results of another. */
  #resultsOnly(blockType: number): number {
    if (blockType < 0) return blockType;
    return this.#types.index([], this.#analysis.blockResults(blockType));
  }

  #copyInstruction(i: number): void {
    const { positions } = this.#analysis;
    const from = positions[i] as number;
    const to = positions[i + 1] as number;
    if (this.#runFrom >= 0 && this.#runTo === from) {
      this.#runTo = to;
      return;
    }
    this.#flush();
    this.#runFrom = from;
    this.#runTo = to;
  }

  #flush(): void {
    if (this.#runFrom < 0) return;
    const from = this.#runFrom;
    this.#runFrom = -1;
    this.#out.copy(this.#analysis.module.bytes, from, this.#runTo);
  }

  // The frame of the function.

  #begin(continuation: boolean): number {
    const { sites, opcodes, partners, localGroups, type } = this.#analysis;
    this.#analysis.dropAddedLocals();
    let largestStep = 0;
    let indirect = false;
    for (const site of sites) {
      if (site.kind === SiteKind.loop) {
        largestStep = Math.max(largestStep, this.#counterStep(partners[site.instruction] as number));
      } else if (site.kind === SiteKind.call) indirect ||= opcodes[site.instruction] === Op.callIndirect;
    }
    const polls = sites.some((site) => site.kind !== SiteKind.call);
    this.#fuelLocal = polls ? this.#analysis.addLocal(ValueType.i32) : NO_LOCAL;
    this.#counterLocal = largestStep > 0 ? this.#analysis.addLocal(ValueType.i32) : NO_LOCAL;
    this.#mixedSteps = largestStep > 1;
    this.#indexLocal = indirect ? this.#analysis.addLocal(ValueType.i32) : NO_LOCAL;
    const at = this.#out.openSized();
    const groups: [number, ValueType][] = [];
    const add = (count: number, valueType: ValueType): void => {
      const last = groups[groups.length - 1];
      if (last !== undefined && last[1] === valueType) last[0] += count;
      else if (count > 0) groups.push([count, valueType]);
    };
    if (continuation) for (const param of type.params) add(1, param);
    for (const [count, valueType] of localGroups) add(count, valueType);
    for (const valueType of this.#analysis.temporaryTypes) add(1, valueType);
    this.#out.u32(groups.length);
    for (const [count, valueType] of groups) {
      this.#out.u32(count);
      this.#out.u8(valueType);
    }
    if (this.#counterLocal !== NO_LOCAL) {
      this.#i32Const(TURNS_PER_CHECK);
      this.#localSet(this.#counterLocal);
    }
    this.#constructs.length = 0;
    this.#depth = 0;
    this.#enter();
    return at;
  }

  #finish(at: number): void {
    this.#bytes(Op.end);
    this.#out.closeSized(at);
  }

  /** Opens a guest construct's label. */
  #enter(wrapped = false): void {
    this.#constructs.push({ label: this.#depth++, wrapped });
  }

  #leave(): OpenConstruct {
    this.#depth--;
    return this.#constructs.pop() as OpenConstruct;
  }

  /** The emitted label for a guest's label. */
  #label(depth: number): number {
    const construct = this.#constructs[this.#constructs.length - 1 - depth] as OpenConstruct;
    return this.#depth - 1 - construct.label;
  }

  #setLabel(label: number): void {
    (this.#constructs[this.#constructs.length - 1] as OpenConstruct).label = label;
  }

  // Polls and spills.

  /** Leaves on the stack whether there is fuel left. */
  #burnFuel(cost = 1): void {
    this.#withIndex(Op.globalGet, this.#target.fuelGlobal);
    this.#i32Const(cost);
    this.#bytes(Op.i32Sub);
    this.#withIndex(Op.localTee, this.#fuelLocal);
    this.#withIndex(Op.globalSet, this.#target.fuelGlobal);
    this.#localGet(this.#fuelLocal);
    this.#i32Const(0);
    this.#bytes(Op.i32GtS);
  }

  /** Asks the host; when it says so, saves the frame and unwinds. */
  #pollAndSpill(site: Site): void {
    this.#call(this.#target.helpers.poll);
    this.#bytes(Op.if, EMPTY_BLOCK);
    this.#spill(site);
    this.#withIndex(Op.throw, this.#target.unwindTag);
    this.#bytes(Op.end);
  }

  #spill(site: Site): void {
    const { others, words } = frameLayout(this.#analysis, site);
    const { put, putI32x8, frame } = this.#target.helpers;
    for (const local of others) {
      this.#localGet(local);
      this.#call(put.get(this.#analysis.typeOfLocal(local)) as number);
    }
    let at = 0;
    for (; words.length - at > CHUNK; at += CHUNK) {
      for (let i = 0; i < CHUNK; i++) this.#localGet(words[at + i] as number);
      this.#call(putI32x8);
    }
    const rest = words.length - at;
    for (; at < words.length; at++) this.#localGet(words[at] as number);
    this.#i32Const(site.offset);
    this.#call(frame[rest] as number);
  }

  #loadFrame(site: Site): void {
    const { others, words } = frameLayout(this.#analysis, site);
    for (const local of [...others, ...words]) {
      this.#call(this.#target.helpers.get.get(this.#analysis.typeOfLocal(local)) as number);
      this.#localSet(local);
    }
  }

  // Calls.

  #tryOpen(typeIndex: number): void {
    if (!this.#target.exnref) {
      this.#bytes(Op.try);
      this.#out.s32(typeIndex);
      return;
    }
    const { params } = this.#analysis.module.types[typeIndex] ?? { params: [] };
    this.#bytes(Op.block);
    this.#out.s32(typeIndex);
    this.#bytes(Op.block);
    if (params.length === 0) this.#out.u8(EMPTY_BLOCK);
    else this.#out.s32(this.#types.index(params, []));
    this.#bytes(Op.tryTable);
    this.#out.s32(typeIndex);
    this.#bytes(1, 0);
    this.#out.u32(this.#target.unwindTag);
    this.#bytes(0);
  }

  #tryClose(site: Site): void {
    if (!this.#target.exnref) {
      this.#withIndex(Op.catch, this.#target.unwindTag);
      this.#spill(site);
      this.#bytes(Op.rethrow, 0, Op.end);
      return;
    }
    this.#bytes(Op.end, Op.br, 1, Op.end);
    this.#spill(site);
    this.#withIndex(Op.throw, this.#target.unwindTag);
    this.#bytes(Op.end);
  }

  #calleeTypeIndex(i: number): number {
    const { module, opcodes, operands } = this.#analysis;
    const operand = operands[i] as number;
    return opcodes[i] === Op.call ? (module.functionTypes[operand] as number) : operand;
  }

  #callAtSite(i: number, site: Site): void {
    const { opcodes, operands } = this.#analysis;
    if (opcodes[i] === Op.call) {
      this.#tryOpen(this.#calleeTypeIndex(i));
      this.#call(this.#functionIndex(operands[i] as number));
    } else {
      this.#localSet(this.#indexLocal);
      this.#tryOpen(this.#calleeTypeIndex(i));
      this.#localGet(this.#indexLocal);
      this.#copyInstruction(i);
    }
    this.#tryClose(site);
  }

  /** In place of the call that was under way: the continuation of its own frame. */
  #resumeCall(site: Site): void {
    const { module } = this.#analysis;
    const { results } = module.types[this.#calleeTypeIndex(site.instruction)] as FunctionType;
    const { continuation } = this.#target;
    if (continuation === undefined) throw new Error("a continuation is written for a continuation module only");
    const typeIndex = this.#types.index([], results);
    this.#tryOpenForResults(typeIndex);
    this.#call(continuation.next);
    this.#bytes(Op.callIndirect);
    this.#out.u32(typeIndex);
    this.#out.u32(continuation.continuationTable);
    this.#tryClose(site);
    this.#copyResult(site.instruction);
  }

  #tryOpenForResults(typeIndex: number): void {
    if (!this.#target.exnref) {
      this.#tryOpen(typeIndex);
      return;
    }
    this.#bytes(Op.block);
    this.#out.s32(typeIndex);
    this.#bytes(Op.block, EMPTY_BLOCK, Op.tryTable);
    this.#out.s32(typeIndex);
    this.#bytes(1, 0);
    this.#out.u32(this.#target.unwindTag);
    this.#bytes(0);
  }

  #functionIndex(index: number): number {
    return this.#target.continuation?.functionIndex(index) ?? index;
  }

  /** Copies what an instruction left on the stack, where a site needs it. */
  #copyResult(i: number): void {
    const { copies, multiProducers } = this.#analysis;
    const copy = copies[i] as number;
    if (copy !== 0) {
      this.#withIndex(Op.localTee, copy - 1);
      return;
    }
    const multi = multiProducers.size > 0 ? multiProducers.get(i) : undefined;
    if (multi?.needed !== true) return;
    const locals = multi.types.map((type, index) => this.#analysis.temporary(multi.height + index, type));
    for (const local of [...locals].reverse()) this.#localSet(local);
    for (const local of locals) this.#localGet(local);
  }

  // Instructions.

  #sequence(from: number, to: number): void {
    const { opcodes, operands, dead, siteOf, sites, partners, arms } = this.#analysis;
    const continuation = this.#target.continuation;
    for (let i = from; i < to; i++) {
      if (dead[i] === 1) continue;
      const opcode = opcodes[i] as number;
      switch (opcode) {
        case Op.block:
        case Op.if:
          this.#copyInstruction(i);
          this.#enter();
          break;
        case Op.try:
          this.#openTry(i, operands[i] as number);
          break;
        case Op.tryTable:
          this.#openTryTable(i, operands[i] as number, this.#analysis.blockParams(operands[i] as number));
          break;
        case Op.loop:
          this.#sequenceLoop(i);
          i = partners[i] as number;
          break;
        case Op.else:
          this.#copyInstruction(i);
          break;
        case Op.catch:
        case Op.catchAll:
          this.#openCatch(i, arms[i] === 1);
          break;
        case Op.delegate:
          this.#leave();
          this.#withIndex(Op.delegate, this.#label(operands[i] as number));
          break;
        case Op.end:
          this.#closeConstruct(i);
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
          if (site !== undefined) this.#callAtSite(i, site);
          else if (opcode === Op.call && continuation !== undefined) {
            this.#call(continuation.functionIndex(operands[i] as number));
          } else this.#copyInstruction(i);
          break;
        }
        case Op.returnCall:
          if (continuation === undefined) this.#copyInstruction(i);
          else this.#withIndex(Op.returnCall, continuation.functionIndex(operands[i] as number));
          break;
        case Op.refFunc:
          if (continuation === undefined) this.#copyInstruction(i);
          else {
            this.#i32Const(operands[i] as number);
            this.#withIndex(Op.tableGet, continuation.functionTable);
          }
          break;
        case Op.memoryGrow:
          this.#call(this.#target.helper(`grow:${operands[i]}`));
          break;
        case Op.prefixMisc:
          this.#misc(i);
          break;
        default:
          this.#copyInstruction(i);
      }
      // The copy of a loop's results belongs to its end, where `i` stands now.
      if ((this.#analysis.copies[i] as number) !== 0 || this.#analysis.multiProducers.size > 0) this.#copyResult(i);
    }
    this.#flush();
  }

  #branch(i: number, opcode: number, depth: number): void {
    const label = this.#label(depth);
    if (label === depth) this.#copyInstruction(i);
    else this.#withIndex(opcode, label);
  }

  #branchTable(i: number): void {
    const reader = new ByteReader(this.#analysis.module.bytes, (this.#analysis.positions[i] as number) + 1);
    const count = reader.u32();
    this.#bytes(Op.brTable);
    this.#out.u32(count);
    for (let n = 0; n <= count; n++) this.#out.u32(this.#label(reader.u32()));
  }

  #misc(i: number): void {
    const { module, positions, operands } = this.#analysis;
    const reader = new ByteReader(module.bytes, (positions[i] as number) + 1);
    const sub = reader.u32();
    const segment = operands[i] as number;
    if (sub === Misc.dataDrop || sub === Misc.elemDrop) this.#call(this.#target.helper(`segment:${sub}:${segment}:0`));
    else if ((sub === Misc.memoryInit || sub === Misc.tableInit) && this.#target.continuation !== undefined) {
      reader.u32();
      this.#call(this.#target.helper(`segment:${sub}:${segment}:${reader.u32()}`));
    } else this.#copyInstruction(i);
  }

  #closeConstruct(i: number): void {
    const { opcodes, partners } = this.#analysis;
    const opener = opcodes[partners[i] as number];
    const construct = this.#leave();
    if (opener === Op.tryTable && construct.wrapped) {
      this.#bytes(Op.end, Op.br, 1, Op.end, Op.throwRef, Op.end);
      this.#depth -= 2;
    } else this.#copyInstruction(i);
  }

  // Exceptions of the guest.

  /** Whether a try's sections need to know what they caught: see CaughtException. */
  #keepsCaught(tryStart: number): boolean {
    const { caughtExceptions, partners } = this.#analysis;
    for (const [section, { which }] of caughtExceptions) {
      if (which !== undefined && partners[section] === tryStart) return true;
    }
    return false;
  }

  #openTry(i: number, blockType: number): void {
    this.#bytes(Op.try);
    this.#blockType(blockType);
    const inner = this.#keepsCaught(i);
    if (inner) {
      this.#bytes(Op.try);
      this.#blockType(blockType);
    }
    this.#enter(inner);
    if (inner) this.#depth++;
  }

  #openCatch(i: number, first: boolean): void {
    const { opcodes, operands, caughtExceptions, partners } = this.#analysis;
    const construct = this.#constructs[this.#constructs.length - 1] as OpenConstruct;
    if (first && construct.wrapped) {
      this.#noteCaught(partners[i] as number);
      construct.wrapped = false;
      this.#depth--;
    }
    if (opcodes[i] === Op.catchAll) {
      for (const tag of [this.#target.unwindTag, this.#target.exitTag]) {
        this.#withIndex(Op.catch, tag);
        this.#bytes(Op.rethrow, 0);
      }
      this.#bytes(Op.catchAll);
      return;
    }
    this.#withIndex(Op.catch, operands[i] as number);
    const payload = caughtExceptions.get(i)?.payloads.get(operands[i] as number) ?? [];
    for (const local of [...payload].reverse()) this.#localSet(local);
    for (const local of payload) this.#localGet(local);
  }

  /** Ends the inner try: each tag of the guest is noted with its payload, and goes on to the outer one. */
  #noteCaught(tryStart: number): void {
    const { caughtExceptions, partners } = this.#analysis;
    for (const tag of [this.#target.unwindTag, this.#target.exitTag]) {
      this.#withIndex(Op.catch, tag);
      this.#bytes(Op.rethrow, 0);
    }
    for (const [section, { which, payloads }] of caughtExceptions) {
      if (which === undefined || partners[section] !== tryStart) continue;
      for (const [tag, locals] of payloads) {
        this.#withIndex(Op.catch, tag);
        for (const local of [...locals].reverse()) this.#localSet(local);
        this.#i32Const(tag + 1);
        this.#localSet(which);
        this.#bytes(Op.rethrow, 0);
      }
    }
    this.#bytes(Op.end);
  }

  /**
   * A try_table; one with a catch_all clause stands in a wrapper that lets our own tags pass:
   *
   *     block bt  block (params -> exnref)  try_table bt (catch_ref $unwind 0) (catch_ref $exit 0) ...
   *     end  br 1  end  throw_ref  end
   */
  #openTryTable(i: number, blockType: number, params: readonly ValueType[]): void {
    const { module, positions } = this.#analysis;
    const reader = new ByteReader(module.bytes, (positions[i] as number) + 1);
    reader.skipLeb();
    const clauses: { kind: number; tag: number; label: number }[] = [];
    for (let count = reader.u32(); count > 0; count--) {
      const kind = reader.u8();
      clauses.push({ kind, tag: kind < 2 ? reader.u32() : 0, label: reader.u32() });
    }
    const wrapped = clauses.some(({ kind }) => kind >= 2);
    const outer = clauses.map(({ label }) => this.#label(label));
    if (wrapped) {
      this.#bytes(Op.block);
      this.#blockType(blockType);
      this.#bytes(Op.block);
      this.#out.s32(this.#types.index(params, [ValueType.exnref]));
      this.#depth += 2;
    }
    this.#bytes(Op.tryTable);
    this.#blockType(blockType);
    this.#out.u32(clauses.length + (wrapped ? 2 : 0));
    if (wrapped) {
      for (const tag of [this.#target.unwindTag, this.#target.exitTag]) {
        this.#bytes(1);
        this.#out.u32(tag);
        this.#out.u32(0);
      }
    }
    clauses.forEach(({ kind, tag }, index) => {
      this.#bytes(kind);
      if (kind < 2) this.#out.u32(tag);
      this.#out.u32((outer[index] as number) + (wrapped ? 2 : 0));
    });
    this.#enter(wrapped);
  }

  // Loops.

  /**
   * A loop is polled on its way back to the header, so that the first turn costs nothing:
   *
   *     block $exit bt
   *       loop $again                       ;; counted loops only: the way back from the cold part
   *         loop $header
   *           block $back  <body>  br $exit  end     ;; COPIES of it, when it is small
   *           <step>  br_if $header
   *         end
   *         <cold: look at the fuel, poll, spill>
   *         br $again
   *       end
   *       unreachable
   *     end
   */
  #sequenceLoop(i: number): void {
    const { operands, partners } = this.#analysis;
    const site = this.#siteAt(i);
    const end = partners[i] as number;
    const blockType = operands[i] as number;
    if (this.#analysis.blockParams(blockType).length > 0) {
      this.#sequenceLoopWithParams(i, site);
      return;
    }
    const step = this.#counterStep(end);
    const exit = this.#depth++;
    this.#bytes(Op.block);
    this.#blockType(blockType);
    if (step > 0) {
      this.#bytes(Op.loop, EMPTY_BLOCK);
      this.#depth++;
    }
    this.#bytes(Op.loop, EMPTY_BLOCK);
    this.#enter();
    for (let copy = this.#copies(i, end, step); copy > 0; copy--) {
      this.#bytes(Op.block, EMPTY_BLOCK);
      this.#setLabel(this.#depth++);
      this.#sequence(i + 1, end);
      this.#withIndex(Op.br, this.#depth - 1 - exit);
      this.#bytes(Op.end);
      this.#depth--;
    }
    if (step > 0) {
      this.#countDown(step);
      this.#bytes(Op.brIf, 0, Op.end);
      this.#leave();
      this.#refillCounter(site);
      this.#depth--;
    } else {
      this.#burnFuel();
      this.#bytes(Op.brIf, 0);
      this.#pollAndSpill(site);
      this.#leave();
    }
    this.#bytes(Op.br, 0, Op.end, Op.unreachable, Op.end);
    this.#depth--;
  }

  /** Parameters travel through their temporaries while the header is crossed. Rare, so it is written plainly. */
  #sequenceLoopWithParams(i: number, site: Site): void {
    const { operands, partners, multiProducers } = this.#analysis;
    const end = partners[i] as number;
    const blockType = operands[i] as number;
    const params = this.#analysis.blockParams(blockType);
    const height = multiProducers.get(i)?.height ?? 0;
    const exit = this.#depth++;
    this.#bytes(Op.block);
    this.#blockType(blockType);
    this.#bytes(Op.loop);
    this.#blockType(blockType);
    this.#enter();
    this.#bytes(Op.block);
    this.#blockType(this.#types.index(params, params));
    this.#setLabel(this.#depth++);
    this.#sequence(i + 1, end);
    this.#withIndex(Op.br, this.#depth - 1 - exit);
    this.#bytes(Op.end);
    this.#depth--;
    this.#saveParams(height, params);
    this.#burnFuel();
    this.#bytes(Op.i32Eqz, Op.if, EMPTY_BLOCK);
    this.#pollAndSpill(site);
    this.#bytes(Op.end);
    this.#loadParams(height, params);
    this.#bytes(Op.br, 0, Op.end, Op.end);
    this.#leave();
    this.#depth--;
  }

  #siteAt(i: number): Site {
    return this.#analysis.sites[(this.#analysis.siteOf[i] as number) - 1] as Site;
  }

  /** What a turn takes off the function's counter; 0: the loop burns fuel instead. */
  #counterStep(end: number): number {
    if (this.#mode === "exact") return 0;
    const cost = this.#analysis.loopCosts[end] as number;
    if (cost === LoopCost.plain) return 1;
    return cost === LoopCost.nested ? STEP_OF_NESTED : 0;
  }

  #copies(i: number, end: number, step: number): number {
    const { positions } = this.#analysis;
    const byteLength = (positions[end] as number) - (positions[i + 1] as number);
    return step === 1 && byteLength <= LARGEST_COPIED_BODY ? COPIES : 1;
  }

  #saveParams(height: number, params: readonly ValueType[]): void {
    for (let i = params.length - 1; i >= 0; i--) {
      this.#localSet(this.#analysis.temporary(height + i, params[i] as ValueType));
    }
  }

  #loadParams(height: number, params: readonly ValueType[]): void {
    for (const [i, type] of params.entries()) this.#localGet(this.#analysis.temporary(height + i, type));
  }

  /** Leaves on the stack whether the counter has turns left. */
  #countDown(step: number): void {
    this.#localGet(this.#counterLocal);
    this.#i32Const(step);
    this.#bytes(Op.i32Sub);
    this.#withIndex(Op.localTee, this.#counterLocal);
    if (step === 1 && !this.#mixedSteps) return;
    this.#i32Const(0);
    this.#bytes(Op.i32GtS);
  }

  #refillCounter(site: Site): void {
    this.#i32Const(TURNS_PER_CHECK);
    this.#localSet(this.#counterLocal);
    this.#burnFuel(FUEL_PER_CHECK);
    this.#bytes(Op.i32Eqz, Op.if, EMPTY_BLOCK);
    this.#pollAndSpill(site);
    this.#bytes(Op.end);
  }

  // The way to a site in a continuation.

  /** The constructs around a site, outermost first, with the arm (else, catch) that it is in. */
  #pathTo(site: Site): PathStep[] {
    const { opcodes, dead } = this.#analysis;
    const path: PathStep[] = [];
    for (let i = 0; i < site.instruction; i++) {
      if (dead[i] === 1) continue;
      switch (opcodes[i]) {
        case Op.block:
        case Op.loop:
        case Op.if:
        case Op.try:
        case Op.tryTable:
          path.push({ start: i, arm: 0 });
          break;
        case Op.else:
        case Op.catch:
        case Op.catchAll:
          path[path.length - 1] = { start: (path[path.length - 1] as PathStep).start, arm: i };
          break;
        case Op.end:
        case Op.delegate:
          path.pop();
          break;
        default:
          break;
      }
    }
    return path;
  }

  /** Opens what stands for an enclosing construct; returns the label behind a loop. */
  #openOnPath(step: PathStep): number {
    const { opcodes, operands } = this.#analysis;
    const opcode = opcodes[step.start];
    const blockType = operands[step.start] as number;
    const results = this.#resultsOnly(blockType);
    if (opcode === Op.loop) {
      // A branch to the header leaves the inner block, with the loop's parameters, and meets the whole loop behind it.
      const params = this.#analysis.blockParams(blockType);
      this.#bytes(Op.block);
      this.#blockType(results);
      const exit = this.#depth++;
      this.#bytes(Op.block);
      if (params.length === 0) this.#out.u8(EMPTY_BLOCK);
      else this.#out.s32(this.#types.index([], params));
      this.#enter();
      return exit;
    }
    if (opcode === Op.try && step.arm === 0) this.#openTry(step.start, results);
    else if (opcode === Op.tryTable) this.#openTryTable(step.start, results, []);
    else if (opcode === Op.try && this.#analysis.caughtExceptions.has(step.arm)) this.#rethrowCaught(step.arm, results);
    else {
      this.#bytes(Op.block);
      this.#blockType(results);
      this.#enter();
    }
    return 0;
  }

  /** Throws and catches again what a section had caught, so that a `rethrow` in its rest finds it. */
  #rethrowCaught(section: number, results: number): void {
    const caught = this.#analysis.caughtExceptions.get(section);
    if (caught === undefined) return;
    this.#bytes(Op.try);
    this.#blockType(results);
    for (const [tag, locals] of caught.payloads) {
      if (caught.which !== undefined) {
        this.#localGet(caught.which);
        this.#i32Const(tag + 1);
        this.#bytes(0x46, Op.if, EMPTY_BLOCK);
      }
      for (const local of locals) this.#localGet(local);
      this.#withIndex(Op.throw, tag);
      if (caught.which !== undefined) this.#bytes(Op.end);
    }
    if (caught.which !== undefined) this.#bytes(Op.unreachable, Op.catchAll);
    else {
      const [tag, locals] = [...caught.payloads][0] as [number, readonly number[]];
      this.#withIndex(Op.catch, tag);
      for (const _ of locals) this.#bytes(Op.drop);
    }
    this.#enter();
  }

  /** The rest of an enclosing construct, then what follows inside the next one: returns where to go on. */
  #restOf(step: PathStep, from: number, exit: number, site: Site): number {
    const { opcodes, partners, arms } = this.#analysis;
    const opcode = opcodes[step.start];
    const end = partners[step.start] as number;
    if ((opcode === Op.try && step.arm === 0) || opcode === Op.tryTable) {
      this.#sequence(from, end + 1);
      return end + 1;
    }
    let stop = end;
    const elseArm = arms[step.start] as number;
    if (opcode === Op.if && step.arm === 0 && elseArm !== 0) stop = elseArm;
    if (opcode === Op.try) stop = this.#nextSection(step, site.instruction);
    this.#sequence(from, stop);
    if (opcode === Op.loop) {
      this.#withIndex(Op.br, this.#depth - 1 - exit);
      this.#bytes(Op.end);
      this.#leave();
      this.#sequenceLoop(step.start);
      this.#bytes(Op.end);
      this.#depth--;
    } else {
      this.#bytes(Op.end);
      this.#leave();
    }
    this.#copyResult(end);
    return end + 1;
  }

  /** Where the catch section around a site ends. */
  #nextSection(step: PathStep, after: number): number {
    const { opcodes, partners } = this.#analysis;
    const end = partners[step.start] as number;
    for (let i = after + 1; i < end; i++) {
      if ((opcodes[i] === Op.catch || opcodes[i] === Op.catchAll) && partners[i] === step.start) return i;
    }
    return end;
  }
}

interface PathStep {
  readonly start: number;
  readonly arm: number;
}

/** The type of a continuation of a function. */
export function continuationType(analysis: FunctionAnalysis): FunctionType {
  return { params: [], results: typeOfFunction(analysis.module, analysis.functionIndex).results };
}
