/**
 * Writes the rest of a function from a site on, for a frame that was left there: a function of type [] -> results.
 *
 *     <load the frame's locals>
 *     <open what stands for each construct around the site, outermost first, with the operands below it>
 *     <what the site stands for: the next frame's continuation, or the loop from its header on>
 *     <the rest of each construct, innermost first>
 *     <the rest of the body>
 *
 * An enclosing block, if or caught section is entered in its middle, so a plain block stands for it; a try and a
 * try_table keep their handlers; a loop is met again behind the rest of its turn. The way back to its header is a safepoint
 * there too where each of them counts: a run crosses as many whether or not it was stopped on its way. Its further turns may be a
 * function of their own (outer-turns.ts).
 */
import type { ByteWriter } from "../wasm/byte-writer.js";
import { EMPTY_BLOCK, Op } from "../wasm/opcodes.js";
import { BodyWriter } from "./body-writer.js";
import type { CodeTarget, PollMode, WriterContext } from "./code-target.js";
import type { FunctionAnalysis } from "./function-analysis.js";
import { resumeCall } from "./guarded-calls.js";
import { openTry, openTryTable, rethrowCaught } from "./guest-exceptions.js";
import { headerOf, pollOnWayBack, writeLoop } from "./loops.js";
import type { OuterTurns } from "./outer-turns.js";
import { copyResult, loadFrame } from "./polls-and-spills.js";
import { type Site, SiteKind } from "./sites.js";
import type { TypeTable } from "./type-table.js";

/** A construct around a site. */
interface PathStep {
  readonly start: number;
  /** The else or catch of it that the site is in; 0: before any. */
  readonly arm: number;
}

export class ContinuationWriter {
  readonly #body: BodyWriter;
  readonly #context: WriterContext;
  readonly #turns: OuterTurns;
  /** Of the loops whose further turns stand apart. */
  readonly #turnLabels = new Map<number, number>();

  constructor(
    analysis: FunctionAnalysis,
    target: CodeTarget,
    types: TypeTable,
    mode: PollMode,
    out: ByteWriter,
    turns: OuterTurns,
  ) {
    this.#turns = turns;
    this.#body = new BodyWriter(analysis, target, types, mode, out);
    this.#context = this.#body.context;
  }

  /** The rest of the current function from a site, sized; called at a loop's turn's end, or by the next outer frame. */
  writeContinuation(site: Site, isCalledAtTurn: boolean): void {
    const { analysis } = this.#context;
    const at = this.#body.begin(analysis.type.params);
    if (isCalledAtTurn) this.#turns.loadFrame(this.#context, site);
    else loadFrame(this.#context, site);
    if (!isCalledAtTurn && site.kind === SiteKind.loop && this.#turns.isApart(site)) {
      this.#turns.passFrame(this.#context, site);
      this.#turns.call(this.#context, site);
    } else this.#writeRest(site);
    this.#body.finish(at);
  }

  #writeRest(site: Site): void {
    const { analysis, code } = this.#context;
    const path = pathTo(analysis, site);
    const apart = path
      .map(({ start }) => start)
      .filter((start) => analysis.opcodes[start] === Op.loop && this.#turns.isApart(headerOf(analysis, start)));
    for (const loop of apart) this.#turnLabels.set(loop, this.#turns.open(this.#context));
    let loaded = 0;
    const load = (upTo: number): void => {
      for (; loaded < upTo; loaded++) code.localGet(site.operands[loaded] as number);
    };
    const exits: number[] = [];
    path.forEach((step, k) => {
      load(analysis.baseHeights[step.start] as number);
      exits[k] = this.#openOnPath(step);
    });
    load(site.operands.length);
    let from = 0;
    if (site.kind === SiteKind.call) {
      resumeCall(this.#context, site);
      from = site.instruction + 1;
    } else if (site.kind === SiteKind.loop) {
      const end = analysis.partners[site.instruction] as number;
      this.#writeLoop(site.instruction);
      copyResult(this.#context, end);
      from = end + 1;
    }
    for (let k = path.length - 1; k >= 0; k--) {
      from = this.#restOf(path[k] as PathStep, from, exits[k] as number, site);
    }
    this.#body.sequence(from, analysis.instructionCount - 1);
    for (const loop of apart.toReversed()) this.#turns.close(this.#context, loop);
  }

  #writeFurtherTurns(loop: number): void {
    const label = this.#turnLabels.get(loop);
    if (label === undefined) this.#writeLoop(loop);
    else {
      this.#turns.keepFrame(this.#context, loop);
      this.#context.code.withIndex(Op.br, this.#context.code.labelAt(label));
    }
  }

  #writeLoop(i: number): void {
    writeLoop(this.#context, i, (from, to) => this.#body.sequence(from, to));
  }

  /** A blocktype without parameters that yields the results of another. */
  #resultsOnly(blockType: number): number {
    const { analysis, types } = this.#context;
    return blockType < 0 ? blockType : types.index([], analysis.blockResults(blockType));
  }

  /** Opens what stands for an enclosing construct; returns the level of the label behind a loop. */
  #openOnPath(step: PathStep): number {
    const { analysis, code, types } = this.#context;
    const opcode = analysis.opcodes[step.start];
    const blockType = analysis.operands[step.start] as number;
    const results = this.#resultsOnly(blockType);
    if (opcode === Op.loop) {
      // A branch to the header leaves the inner block, with the loop's parameters, and meets the whole loop behind it.
      const params = analysis.blockParams(blockType);
      code.withBlockType(Op.block, results);
      const exit = code.nest();
      if (params.length === 0) code.bytes(Op.block, EMPTY_BLOCK);
      else code.withBlockType(Op.block, types.index([], params));
      code.enter();
      return exit;
    }
    if (opcode === Op.try && step.arm === 0) openTry(this.#context, step.start, results);
    else if (opcode === Op.tryTable) openTryTable(this.#context, step.start, results, []);
    else if (opcode === Op.try && analysis.caughtExceptions.has(step.arm)) {
      rethrowCaught(this.#context, step.arm, results);
    } else {
      code.withBlockType(Op.block, results);
      code.enter();
    }
    return 0;
  }

  /** The rest of an enclosing construct, then what follows inside the next one: returns where to go on. */
  #restOf(step: PathStep, from: number, exit: number, site: Site): number {
    const { analysis, code } = this.#context;
    const { opcodes, partners, arms } = analysis;
    const opcode = opcodes[step.start];
    const end = partners[step.start] as number;
    if ((opcode === Op.try && step.arm === 0) || opcode === Op.tryTable) {
      this.#body.sequence(from, end + 1);
      return end + 1;
    }
    let stop = end;
    const elseArm = arms[step.start] as number;
    if (opcode === Op.if && step.arm === 0 && elseArm !== 0) stop = elseArm;
    if (opcode === Op.try) stop = nextSection(analysis, step, site.instruction);
    this.#body.sequence(from, stop);
    if (opcode === Op.loop) {
      code.withIndex(Op.br, code.labelAt(exit));
      code.bytes(Op.end);
      code.leave();
      if (this.#context.mode === "exact") pollOnWayBack(this.#context, step.start);
      this.#writeFurtherTurns(step.start);
      code.bytes(Op.end);
      code.unnest();
    } else {
      code.bytes(Op.end);
      code.leave();
    }
    copyResult(this.#context, end);
    return end + 1;
  }
}

/** The constructs around a site, outermost first, with the arm (else, catch) that it is in. */
function pathTo({ opcodes, dead }: FunctionAnalysis, site: Site): PathStep[] {
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

/** Where the catch section around a site ends. */
function nextSection({ opcodes, partners }: FunctionAnalysis, step: PathStep, after: number): number {
  const end = partners[step.start] as number;
  for (let i = after + 1; i < end; i++) {
    if ((opcodes[i] === Op.catch || opcodes[i] === Op.catchAll) && partners[i] === step.start) return i;
  }
  return end;
}
