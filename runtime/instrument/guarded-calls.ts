/**
 * Calls that can unwind, each in a `try` whose handler saves the activation's frame and lets the exception go on:
 *
 *     try (type of callee)           ;; nothing is paid here while nothing is thrown
 *       call $f
 *     catch_all
 *       <spill operands and live locals>   ;; frame-stack.ts
 *       call $frameN (.., site)
 *       rethrow 0
 *     end
 *
 * Calls whose frames hold the same values share a guard around all of them; a local says which it was (shared-guards.ts):
 *
 *     try
 *       ...  <site := its name>  call $f  ...  <site := another>  call $g  ...
 *     catch_all  <spill, with the local for the name>  rethrow 0  end
 *
 * What is called there does nothing for exceptions of the guest's that pass (helpers.ts), so there is no branch:
 * `catch $unwind` is a call into the engine for every exception, which asks it for its tag. docs/rationale.md#handlers
 *
 * What the frames of many calls have in common is saved elsewhere (shared-tails.ts). With exnref handlers stand behind the body (outer-handlers.ts).
 */
import { EMPTY_BLOCK, Op } from "../wasm/opcodes.js";
import type { FunctionType } from "../wasm/value-types.js";
import type { WriterContext } from "./code-target.js";
import type { FunctionAnalysis } from "./function-analysis.js";
import { copyResult, spill } from "./polls-and-spills.js";
import type { SharedGuard } from "./shared-guards.js";
import type { Site } from "./sites.js";

/** A blocktype, as an analysis has it. */
const NO_VALUES = EMPTY_BLOCK - 0x80;

/** For the calls of a frame. */
function openGuard(context: WriterContext, site: Site, typeIndex: number): void {
  if (context.outerHandlers === undefined) context.code.withBlockType(Op.try, typeIndex);
  else context.outerHandlers.guard(context, site, typeIndex);
}

/** `nameLocal` as in `spill`. */
function closeGuard(context: WriterContext, site: Site, nameLocal?: number): void {
  const { code, target, outerHandlers } = context;
  if (outerHandlers === undefined) {
    code.bytes(Op.catchAll);
    code.nest(); // the try's label
    spill(context, site, target.helpers.frame, nameLocal);
    code.unnest();
    code.bytes(Op.rethrow, 0);
  }
  code.bytes(Op.end);
}

/** What is written until it is closed is guarded as a whole: see shared-guards.ts. */
export function openSharedGuard(context: WriterContext, { site }: SharedGuard): void {
  openGuard(context, site, NO_VALUES);
  context.code.nest();
  context.inSharedGuard = true;
}

export function closeSharedGuard(context: WriterContext, { site, endsDead }: SharedGuard): void {
  const { code, locals } = context;
  context.inSharedGuard = false;
  code.unnest();
  closeGuard(context, site, locals.site);
  if (endsDead) code.bytes(Op.unreachable); // behind the guard's end that is not known any more
}

function calleeTypeIndex({ module, opcodes, operands }: FunctionAnalysis, i: number): number {
  const operand = operands[i] as number;
  return opcodes[i] === Op.call ? (module.functionTypes[operand] as number) : operand;
}

/** With its operands on the stack. */
export function writeBareCall({ analysis, code, target }: WriterContext, i: number): void {
  const { continuation } = target;
  if (analysis.opcodes[i] === Op.call && continuation !== undefined) {
    code.call(continuation.functionIndex(analysis.operands[i] as number));
  } else code.copyInstruction(i);
}

/** A call that is a site. */
export function writeCall(context: WriterContext, i: number, site: Site): void {
  const { analysis, code, target, locals } = context;
  const typeIndex = calleeTypeIndex(analysis, i);
  target.sites?.note(code.position, site.offset);
  if (context.inSharedGuard) {
    code.i32Const(site.offset);
    code.localSet(locals.site);
    writeBareCall(context, i);
    return;
  }
  context.outerHandlers?.name(context, site);
  if (analysis.opcodes[i] === Op.call) {
    const callee = analysis.operands[i] as number;
    openGuard(context, site, typeIndex);
    code.call(target.continuation?.functionIndex(callee) ?? callee);
  } else {
    code.localSet(locals.index);
    openGuard(context, site, typeIndex);
    code.localGet(locals.index);
    code.copyInstruction(i);
  }
  closeGuard(context, site);
}

/** In place of the call that was under way: the continuation of its own frame. */
export function resumeCall(context: WriterContext, site: Site): void {
  const { analysis, code, target, types } = context;
  const { continuation } = target;
  if (continuation === undefined) throw new Error("a continuation is written for a continuation module only");
  const { results } = analysis.module.types[calleeTypeIndex(analysis, site.instruction)] as FunctionType;
  const typeIndex = types.index([], results);
  target.sites?.note(code.position, site.offset);
  context.outerHandlers?.name(context, site);
  openGuard(context, site, typeIndex);
  code.call(continuation.next);
  code.withIndex(Op.callIndirect, typeIndex);
  code.u32(continuation.continuationTable);
  closeGuard(context, site);
  copyResult(context, site.instruction);
}
