/**
 * Loops. Those with calls are polled at their header. The others count their turns in a local, on the way back, and look
 * whether to poll when it has come to its end; the small ones are chained `COPIES` times, so that one back edge in `COPIES` is
 * counted:
 *
 *     <counter := TURNS_PER_CHECK>        ;; unless a counted loop is around
 *     block $exit bt
 *       loop $again                       ;; the way back from the cold part
 *         loop $header
 *           block $back  <body>  br $exit  end     ;; COPIES of it, when it is small
 *           <counter -= step>  br_if $header
 *         end
 *         <cold: counter := TURNS_PER_CHECK, poll, spill>
 *         br $again
 *       end
 *       unreachable
 *     end
 *
 * Where every safepoint counts, all loops are polled on their way back, without $again, so that one that does not turn
 * crosses none. docs/rationale.md#where-polls-go
 */
import { EMPTY_BLOCK, Op } from "../wasm/opcodes.js";
import type { WriterContext } from "./code-target.js";
import type { FunctionAnalysis } from "./function-analysis.js";
import { burnFuel, crossSafepoint, mayGoOn, operandLocals, pollAndSpill, pollUnless } from "./polls-and-spills.js";
import { LoopCost, type Site } from "./sites.js";

/** Chained copies of a small loop's body, and the largest body in bytes that is copied. */
const COPIES = 4;
const LARGEST_COPIED_BODY = 160;
/** Turns of a counted loop between two looks at the flag or the fuel, and the fuel they cost. */
const TURNS_PER_CHECK = 256;
const FUEL_PER_CHECK = 16;
/** What a turn of a loop with loops inside takes off the counter; those share it. */
const STEP_OF_NESTED = 8;

/** Writes instructions `from` to `to` (exclusive). */
export type WriteSequence = (from: number, to: number) => void;

export function writeLoop(context: WriterContext, i: number, writeSequence: WriteSequence): void {
  const { analysis, code, mode } = context;
  const { operands, partners } = analysis;
  const site = headerOf(analysis, i);
  const end = partners[i] as number;
  const blockType = operands[i] as number;
  if (analysis.blockParams(blockType).length > 0) {
    writeLoopWithParams(context, i, site, writeSequence);
    return;
  }
  const step = counterStep(context, end);
  const outermost = !context.inCountedLoop;
  if (step === 0 && mode !== "exact") {
    writeLoopPolledAtHeader(context, i, site, writeSequence);
    return;
  }
  if (step > 0 && outermost) refillCounter(context);
  context.inCountedLoop = step > 0;
  code.withBlockType(Op.block, blockType);
  const exit = code.nest();
  if (step > 0) {
    code.bytes(Op.loop, EMPTY_BLOCK);
    code.nest();
  }
  code.bytes(Op.loop, EMPTY_BLOCK);
  code.enter();
  for (let copy = step === 1 && isSmall(analysis, end) ? COPIES : 1; copy > 0; copy--) {
    code.bytes(Op.block, EMPTY_BLOCK);
    writeTurn(context, i, exit, writeSequence);
  }
  if (step > 0) {
    countDown(context, step);
    code.hint(true);
    code.bytes(Op.brIf, 0, Op.end);
    code.leave();
    refillCounter(context);
    if (context.target.flag === undefined) burnFuel(context, FUEL_PER_CHECK);
    else mayGoOn(context);
    pollUnless(context, site);
    code.unnest();
  } else {
    mayGoOn(context);
    code.hint(true);
    code.bytes(Op.brIf, 0);
    pollAndSpill(context, site);
    code.leave();
  }
  code.bytes(Op.br, 0, Op.end, Op.unreachable, Op.end);
  code.unnest();
  context.inCountedLoop = !outermost;
}

function writeLoopPolledAtHeader(context: WriterContext, i: number, site: Site, writeSequence: WriteSequence): void {
  const { analysis, code } = context;
  code.withBlockType(Op.loop, analysis.operands[i] as number);
  code.enter();
  crossSafepoint(context, site);
  writeSequence(i + 1, analysis.partners[i] as number);
  code.bytes(Op.end);
  code.leave();
}

/** Parameters travel through their temporaries while the header is crossed. Rare, so it is written plainly. */
function writeLoopWithParams(context: WriterContext, i: number, site: Site, writeSequence: WriteSequence): void {
  const { analysis, code, types } = context;
  const blockType = analysis.operands[i] as number;
  const params = analysis.blockParams(blockType);
  const locals = paramLocals(context, i);
  code.withBlockType(Op.block, blockType);
  const exit = code.nest();
  code.withBlockType(Op.loop, blockType);
  code.enter();
  code.withBlockType(Op.block, types.index(params, params));
  writeTurn(context, i, exit, writeSequence);
  pollWithParams(context, locals, site);
  code.bytes(Op.br, 0, Op.end, Op.end);
  code.leave();
  code.unnest();
}

/** The way back to the header of the loop at `i`, with its parameters on the stack, which stay there. */
export function pollOnWayBack(context: WriterContext, i: number): void {
  pollWithParams(context, paramLocals(context, i), headerOf(context.analysis, i));
}

/** The site at the header of the loop at `i`. */
export function headerOf({ sites, siteOf }: FunctionAnalysis, i: number): Site {
  return sites[(siteOf[i] as number) - 1] as Site;
}

/** The temporaries of its parameters, in which they are in its frame. */
export function paramLocals(context: WriterContext, i: number): number[] {
  const { analysis } = context;
  const params = analysis.blockParams(analysis.operands[i] as number);
  return operandLocals(context, analysis.multiProducers.get(i)?.height ?? 0, params);
}

function pollWithParams(context: WriterContext, locals: readonly number[], site: Site): void {
  context.code.localSets(locals);
  crossSafepoint(context, site);
  context.code.localGets(locals);
}

/** The body inside the block that has just begun: branches to the header leave that block, its end leaves the loop. */
function writeTurn({ analysis, code }: WriterContext, i: number, exit: number, writeSequence: WriteSequence): void {
  code.innermost().level = code.nest();
  writeSequence(i + 1, analysis.partners[i] as number);
  code.withIndex(Op.br, code.labelAt(exit));
  code.bytes(Op.end);
  code.unnest();
}

/** What a turn takes off the function's counter; 0: each turn is polled. `end` is the loop's. */
export function counterStep({ analysis, mode }: WriterContext, end: number): number {
  if (mode === "exact") return 0;
  const cost = analysis.loopCosts[end] as number;
  if (cost === LoopCost.plain) return 1;
  return cost === LoopCost.nested ? STEP_OF_NESTED : 0;
}

function isSmall({ positions, partners }: FunctionAnalysis, end: number): boolean {
  const start = partners[end] as number;
  return (positions[end] as number) - (positions[start + 1] as number) <= LARGEST_COPIED_BODY;
}

/** Leaves on the stack whether the counter has turns left. */
function countDown({ code, locals }: WriterContext, step: number): void {
  code.localGet(locals.counter);
  code.i32Const(step);
  code.bytes(Op.i32Sub);
  code.withIndex(Op.localTee, locals.counter);
  if (step === 1 && !locals.mixedSteps) return;
  code.i32Const(0);
  code.bytes(Op.i32GtS);
}

/** Gives the function's counter its turns until the next look at the flag or the fuel. */
function refillCounter({ code, locals }: WriterContext): void {
  code.i32Const(TURNS_PER_CHECK);
  code.localSet(locals.counter);
}
