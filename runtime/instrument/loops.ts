/**
 * Loops, polled on their way back to the header, so that the first turn costs nothing:
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
 *
 * Loops without calls that can unwind are polled by a counter in a local; the small ones are chained `COPIES` times, so
 * that one back edge in `COPIES` is counted. docs/rationale.md#where-polls-go
 */
import { EMPTY_BLOCK, Op } from "../wasm/opcodes.js";
import type { WriterContext } from "./code-target.js";
import { burnFuel, crossSafepoint, mayGoOn, operandLocals, pollAndSpill, pollUnless } from "./polls-and-spills.js";
import { LoopCost, type Site } from "./sites.js";

/** Chained copies of a small loop's body, and the largest body in bytes that is copied. */
const COPIES = 4;
const LARGEST_COPIED_BODY = 160;
/** Turns of a counted loop between two looks at the fuel, and the fuel they cost. */
const TURNS_PER_CHECK = 256;
const FUEL_PER_CHECK = 16;
/** What a turn of a loop with loops inside takes off the counter; those share it. */
const STEP_OF_NESTED = 8;

/** Writes instructions `from` to `to` (exclusive). */
export type WriteSequence = (from: number, to: number) => void;

export function writeLoop(context: WriterContext, i: number, writeSequence: WriteSequence): void {
  const { analysis, code, mode } = context;
  const { operands, partners, sites, siteOf } = analysis;
  const site = sites[(siteOf[i] as number) - 1] as Site;
  const end = partners[i] as number;
  const blockType = operands[i] as number;
  if (analysis.blockParams(blockType).length > 0) {
    writeLoopWithParams(context, i, site, writeSequence);
    return;
  }
  const step = counterStep(context, end);
  if (step === 0 && mode !== "exact") {
    writeLoopPolledAtHeader(context, i, site, writeSequence);
    return;
  }
  code.withBlockType(Op.block, blockType);
  const exit = code.nest();
  if (step > 0) {
    code.bytes(Op.loop, EMPTY_BLOCK);
    code.nest();
  }
  code.bytes(Op.loop, EMPTY_BLOCK);
  code.enter();
  for (let copy = copiesOf(context, i, end, step); copy > 0; copy--) {
    code.bytes(Op.block, EMPTY_BLOCK);
    writeTurn(context, i, exit, writeSequence);
  }
  if (step > 0) {
    countDown(context, step);
    code.bytes(Op.brIf, 0, Op.end);
    code.leave();
    refillCounter(context);
    burnFuel(context, FUEL_PER_CHECK);
    pollUnless(context, site);
    code.unnest();
  } else {
    mayGoOn(context);
    code.bytes(Op.brIf, 0);
    pollAndSpill(context, site);
    code.leave();
  }
  code.bytes(Op.br, 0, Op.end, Op.unreachable, Op.end);
  code.unnest();
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
  const locals = operandLocals(context, analysis.multiProducers.get(i)?.height ?? 0, params);
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
  const { analysis } = context;
  const site = analysis.sites[(analysis.siteOf[i] as number) - 1] as Site;
  const params = analysis.blockParams(analysis.operands[i] as number);
  const locals = operandLocals(context, analysis.multiProducers.get(i)?.height ?? 0, params);
  pollWithParams(context, locals, site);
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

/** What a turn takes off the function's counter; 0: the loop burns fuel instead. `end` is the loop's. */
export function counterStep({ analysis, mode }: WriterContext, end: number): number {
  if (mode === "exact") return 0;
  const cost = analysis.loopCosts[end] as number;
  if (cost === LoopCost.plain) return 1;
  return cost === LoopCost.nested ? STEP_OF_NESTED : 0;
}

function copiesOf({ analysis }: WriterContext, i: number, end: number, step: number): number {
  const { positions } = analysis;
  const byteLength = (positions[end] as number) - (positions[i + 1] as number);
  return step === 1 && byteLength <= LARGEST_COPIED_BODY ? COPIES : 1;
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

/** Gives the function's counter its turns until the next look at the fuel. */
export function refillCounter({ code, locals }: WriterContext): void {
  code.i32Const(TURNS_PER_CHECK);
  code.localSet(locals.counter);
}
