/**
 * The guest's own exception handling, kept apart from ours.
 *
 * A guest's catch_all must not see the unwinding: `catch $unwind rethrow` is put before it, and the same for the exit
 * tag. docs/rationale.md#why-exceptions
 *
 * A section that rethrows, and in which the program may be stopped, keeps what it caught in locals, so that its
 * continuation can throw the same again. A catch_all does not say what it caught; such a try gets an inner one:
 *
 *     try bt
 *       try bt  <body>
 *       catch $unwind  rethrow 0  catch $exit  rethrow 0
 *       catch $tag  <payload and tag to locals>  rethrow 0    ;; for each tag of the guest
 *       end
 *     catch_all  <section>
 *     end
 */
import { ByteReader } from "../wasm/byte-reader.js";
import { CatchKind, EMPTY_BLOCK, Op } from "../wasm/opcodes.js";
import { ValueType } from "../wasm/value-types.js";
import type { WriterContext } from "./code-target.js";
import type { FunctionAnalysis } from "./function-analysis.js";

const I32_EQ = 0x46;

/** Labels around a try_table that stands in a wrapper. */
const WRAPPER_LABELS = 2;

/** Whether a try's sections need to know what they caught: see CaughtException. */
function keepsCaught({ caughtExceptions, partners }: FunctionAnalysis, tryStart: number): boolean {
  for (const [section, { which }] of caughtExceptions) {
    if (which !== undefined && partners[section] === tryStart) return true;
  }
  return false;
}

export function openTry({ analysis, code }: WriterContext, i: number, blockType: number): void {
  const inner = keepsCaught(analysis, i);
  code.withBlockType(Op.try, blockType);
  if (inner) code.withBlockType(Op.try, blockType);
  code.enter(inner);
  if (inner) code.nest();
}

export function openCatch(context: WriterContext, i: number, first: boolean): void {
  const { analysis, code } = context;
  const { opcodes, operands, caughtExceptions, partners } = analysis;
  const construct = code.innermost();
  if (first && construct.wrapped) {
    noteCaught(context, partners[i] as number);
    construct.wrapped = false;
    code.unnest();
  }
  if (opcodes[i] === Op.catchAll) {
    passOurTags(context);
    code.bytes(Op.catchAll);
    return;
  }
  const tag = operands[i] as number;
  code.withIndex(Op.catch, tag);
  const payload = caughtExceptions.get(i)?.payloads.get(tag) ?? [];
  code.localSets(payload);
  code.localGets(payload);
}

function passOurTags({ code, target }: WriterContext): void {
  for (const tag of [target.unwindTag, target.exitTag]) {
    code.withIndex(Op.catch, tag);
    code.bytes(Op.rethrow, 0);
  }
}

/** Ends the inner try: each tag of the guest is noted with its payload, and goes on to the outer one. */
function noteCaught(context: WriterContext, tryStart: number): void {
  const { analysis, code } = context;
  const { caughtExceptions, partners } = analysis;
  passOurTags(context);
  for (const [section, { which, payloads }] of caughtExceptions) {
    if (which === undefined || partners[section] !== tryStart) continue;
    for (const [tag, locals] of payloads) {
      code.withIndex(Op.catch, tag);
      code.localSets(locals);
      code.i32Const(tag + 1);
      code.localSet(which);
      code.bytes(Op.rethrow, 0);
    }
  }
  code.bytes(Op.end);
}

/**
 * A try_table; one with a catch_all clause stands in a wrapper that lets our own tags pass:
 *
 *     block bt  block (params -> exnref)  try_table bt (catch_ref $unwind 0) (catch_ref $exit 0) ...
 *     end  br 1  end  throw_ref  end
 */
export function openTryTable(context: WriterContext, i: number, blockType: number, params: readonly ValueType[]): void {
  const { analysis, code, target, types } = context;
  const reader = new ByteReader(analysis.module.bytes, (analysis.positions[i] as number) + 1);
  reader.skipLeb();
  const clauses: { kind: number; tag: number; label: number }[] = [];
  for (let count = reader.u32(); count > 0; count--) {
    const kind = reader.u8();
    clauses.push({ kind, tag: kind < CatchKind.catchAll ? reader.u32() : 0, label: reader.u32() });
  }
  const wrapped = clauses.some(({ kind }) => kind >= CatchKind.catchAll);
  if (wrapped) {
    code.withBlockType(Op.block, blockType);
    code.withBlockType(Op.block, types.index(params, [ValueType.exnref]));
    code.nest(WRAPPER_LABELS);
  }
  code.withBlockType(Op.tryTable, blockType);
  code.u32(clauses.length + (wrapped ? 2 : 0));
  if (wrapped) {
    for (const tag of [target.unwindTag, target.exitTag]) {
      code.withIndex(CatchKind.catchRef, tag);
      code.u32(0);
    }
  }
  for (const { kind, tag, label } of clauses) {
    code.bytes(kind);
    if (kind < CatchKind.catchAll) code.u32(tag);
    code.u32(code.label(label));
  }
  code.enter(wrapped);
  context.guestTryTables++;
}

/** The end of a block, try or try_table. */
export function closeConstruct(context: WriterContext, i: number): void {
  const { analysis, code } = context;
  const opener = analysis.opcodes[analysis.partners[i] as number];
  const { wrapped } = code.leave();
  if (opener === Op.tryTable) context.guestTryTables--;
  if (opener === Op.tryTable && wrapped) {
    code.bytes(Op.end, Op.br, 1, Op.end, Op.throwRef, Op.end);
    code.unnest(WRAPPER_LABELS);
  } else code.copyInstruction(i);
}

/** Throws and catches again what a section had caught, so that a `rethrow` in its rest finds it. */
export function rethrowCaught({ analysis, code }: WriterContext, section: number, results: number): void {
  const caught = analysis.caughtExceptions.get(section);
  if (caught === undefined) return;
  code.withBlockType(Op.try, results);
  for (const [tag, locals] of caught.payloads) {
    if (caught.which !== undefined) {
      code.localGet(caught.which);
      code.i32Const(tag + 1);
      code.bytes(I32_EQ, Op.if, EMPTY_BLOCK);
    }
    code.localGets(locals);
    code.withIndex(Op.throw, tag);
    if (caught.which !== undefined) code.bytes(Op.end);
  }
  if (caught.which !== undefined) code.bytes(Op.unreachable, Op.catchAll);
  else {
    const [tag, locals] = [...caught.payloads][0] as [number, readonly number[]];
    code.withIndex(Op.catch, tag);
    for (const _ of locals) code.bytes(Op.drop);
  }
  code.enter();
}
