/**
 * The handlers of a function all behind its body, one for each set of values that its frames hold, wherever the calls are:
 *
 *     block (result exnref)              ;; $second
 *       block (result exnref)            ;; $first
 *         <body>
 *           ...  <site := name>  try_table (type of callee) (catch_all_ref $first)  call $f  end  ...
 *         return
 *       end
 *       <spill, with the local for the name>  throw_ref
 *     end
 *     <spill>  throw_ref
 *
 * Only try_table can do this: a legacy `try` holds its handler in itself, so that handlers would stand in one another.
 * docs/rationale.md#shared-guards
 *
 * O1  What a call in a try_table of the guest's throws has to meet that one's clauses first. So the guard of such a call catches
 *     our unwinding alone, `catch_ref $unwind`, and all else passes it.
 */
import { CatchKind, Op } from "../wasm/opcodes.js";
import { ValueType } from "../wasm/value-types.js";
import type { WriterContext } from "./code-target.js";
import type { FunctionAnalysis } from "./function-analysis.js";
import { spill } from "./polls-and-spills.js";
import { type Site, SiteKind } from "./sites.js";

/** As an analysis has it. */
const RESULT_EXNREF = ValueType.exnref - 0x80;

interface Handler {
  /** One of the calls: all have its frame. */
  readonly site: Site;
  count: number;
  /** Of the label that leads to it, while it is open. */
  level: number;
}

export class OuterHandlers {
  readonly #handlers: Handler[] = [];
  readonly #of = new Map<Site, Handler>();

  constructor({ sites }: FunctionAnalysis) {
    const known = new Map<string, Handler>();
    let live: readonly number[] | undefined;
    let text = "";
    for (const site of sites) {
      if (site.kind !== SiteKind.call) continue;
      if (site.live !== live) text = site.live.join();
      live = site.live;
      const key = site.operands.length === 0 ? text : `${site.operands.join()};${text}`;
      let handler = known.get(key);
      if (handler === undefined) {
        handler = { site, count: 0, level: 0 };
        known.set(key, handler);
        this.#handlers.push(handler);
      }
      handler.count++;
      this.#of.set(site, handler);
    }
  }

  /** Whether some calls share a handler, so that a local must say which is under way. */
  get areShared(): boolean {
    return this.#handlers.some(({ count }) => count > 1);
  }

  /** In front of the body. */
  open({ code }: WriterContext): void {
    for (const handler of this.#handlers) {
      code.withBlockType(Op.block, RESULT_EXNREF);
      handler.level = code.nest();
    }
  }

  /** Behind the body. */
  close(context: WriterContext): void {
    const { code, target, locals } = context;
    if (this.#handlers.length === 0) return;
    code.bytes(Op.return);
    for (const { site, count } of this.#handlers.toReversed()) {
      code.bytes(Op.end);
      code.unnest();
      spill(context, site, target.helpers.frame, count > 1 ? locals.site : undefined);
      code.bytes(Op.throwRef);
    }
  }

  /** Begins a try_table for a call, or for several with its frame. */
  guard({ code, target, guestTryTables }: WriterContext, site: Site, blockType: number): void {
    const { level } = this.#handlerOf(site);
    code.withBlockType(Op.tryTable, blockType);
    if (guestTryTables === 0) code.bytes(1, CatchKind.catchAllRef);
    else {
      code.bytes(1, CatchKind.catchRef); // O1
      code.u32(target.unwindTag);
    }
    code.u32(code.labelAt(level));
  }

  /** Notes which call is under way, where its handler could not know. */
  name({ code, locals }: WriterContext, site: Site): void {
    if (this.#handlerOf(site).count < 2) return;
    code.i32Const(site.offset);
    code.localSet(locals.site);
  }

  #handlerOf(site: Site): Handler {
    return this.#of.get(site) as Handler;
  }
}

/** Undefined: each guard has its handler in itself. */
export function outerHandlers({ analysis, target }: WriterContext): OuterHandlers | undefined {
  return target.exnref ? new OuterHandlers(analysis) : undefined;
}
