/**
 * What happens at a site: fuel is burned or the flag looked at, the host is asked, and the frame is saved; or, in a continuation, loaded.
 *
 * Operands that lie below a site are in locals by then, because their producers left a copy (`copyResult`).
 */
import { EMPTY_BLOCK, Op } from "../wasm/opcodes.js";
import type { ValueType } from "../wasm/value-types.js";
import type { WriterContext } from "./code-target.js";
import { type FrameValues, frameLayout, localsOf } from "./frame-layout.js";
import { CHUNK } from "./frame-stack.js";
import type { Site } from "./sites.js";

/** As its logarithm. */
const I32_ALIGNMENT = 2;

/** Leaves on the stack whether the guest may go on without asking the host. */
export function mayGoOn(context: WriterContext): void {
  const { code, target } = context;
  if (target.flag === undefined) {
    burnFuel(context, 1);
    return;
  }
  code.i32Const(target.flag.index);
  code.bytes(Op.i32Load, I32_ALIGNMENT);
  code.u32(target.flag.offset);
  code.bytes(Op.i32Eqz);
}

/** Leaves on the stack whether there is fuel left. */
export function burnFuel({ code, target, locals }: WriterContext, cost: number): void {
  code.withIndex(Op.globalGet, target.fuelGlobal);
  code.i32Const(cost);
  code.bytes(Op.i32Sub);
  code.withIndex(Op.localTee, locals.fuel);
  code.withIndex(Op.globalSet, target.fuelGlobal);
  code.localGet(locals.fuel);
  code.i32Const(0);
  code.bytes(Op.i32GtS);
}

/** Crosses a safepoint: asks the host if it is time to. */
export function crossSafepoint(context: WriterContext, site: Site): void {
  mayGoOn(context);
  pollUnless(context, site);
}

/** Asks the host, unless the guest may go on, which the stack says. */
export function pollUnless(context: WriterContext, site: Site): void {
  const { code } = context;
  code.bytes(Op.i32Eqz);
  code.hint(false);
  code.bytes(Op.if, EMPTY_BLOCK);
  code.nest();
  pollAndSpill(context, site);
  code.unnest();
  code.bytes(Op.end);
}

/** Asks the host; when it says so, saves the frame and unwinds. No branch here: the helpers look whether it did. */
export function pollAndSpill(context: WriterContext, site: Site): void {
  const { code, target } = context;
  target.sites?.note(code.position, site.offset);
  code.call(target.helpers.poll);
  spill(context, site, target.helpers.unwind);
}

/**
 * Saves the frame while the stack is unwound; `last` ends one without a tail, by the number of its words. `nameLocal`: the local
 * that says which of several sites with the same frame it is. Goes on if nothing is being saved, or if there was no tail.
 */
export function spill(context: WriterContext, site: Site, last: readonly number[], nameLocal?: number): void {
  const { analysis, code, target, tailCode } = context;
  const { head, tail } = frameLayout(analysis, site);
  const words = spillValues(context, head);
  if (nameLocal === undefined) code.i32Const(site.offset);
  else code.localGet(nameLocal);
  code.call((tail === undefined ? last : target.helpers.head)[words] as number);
  if (tail !== undefined) tailCode.leaveFor(context, tail);
}

/** Saves values but for the last few i32, which it leaves on the stack, and says how many. */
export function spillValues({ analysis, code, target }: WriterContext, { others, words }: FrameValues): number {
  const { put, putI32x8 } = target.helpers;
  for (const local of others) {
    code.localGet(local);
    code.call(put.get(analysis.typeOfLocal(local)) as number);
  }
  let at = 0;
  for (; words.length - at > CHUNK; at += CHUNK) {
    for (let i = 0; i < CHUNK; i++) code.localGet(words[at + i] as number);
    code.call(putI32x8);
  }
  const rest = words.length - at;
  for (; at < words.length; at++) code.localGet(words[at] as number);
  return rest;
}

export function loadFrame({ analysis, code, target }: WriterContext, site: Site): void {
  for (const local of localsOf(frameLayout(analysis, site))) {
    code.call(target.helpers.get.get(analysis.typeOfLocal(local)) as number);
    code.localSet(local);
  }
}

/** Copies what an instruction left on the stack, where a site needs it. */
export function copyResult(context: WriterContext, i: number): void {
  const { copies, multiProducers } = context.analysis;
  const copy = copies[i] as number;
  if (copy !== 0) {
    context.code.withIndex(Op.localTee, copy - 1);
    return;
  }
  const multi = multiProducers.size > 0 ? multiProducers.get(i) : undefined;
  if (multi?.needed !== true) return;
  const locals = operandLocals(context, multi.height, multi.types);
  context.code.localSets(locals);
  context.code.localGets(locals);
}

/** The temporaries of several operands, the lowest at a height. */
export function operandLocals({ analysis }: WriterContext, height: number, types: readonly ValueType[]): number[] {
  return types.map((type, index) => analysis.temporary(height + index, type));
}
