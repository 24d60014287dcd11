/**
 * Which calls share a guard: those of neighbouring statements whose frames hold the same values. What an activation keeps
 * seldom changes from one call to the next, and code that saves forty values behind each of 4,500 calls is most of what the
 * compilers then have to do. docs/rationale.md#shared-guards
 *
 * A *statement* is what stands between two places where the operand stack is as high as at the beginning of the block
 * around; with all blocks inside. A *run* is the statements from one call to another, of which no call has another frame.
 *
 * G1  A guard begins and ends where no operand of its block is on the stack, so it needs no type.
 * G2  No poll stands inside of one: what a poll has saved would be saved twice. Nor does a handler of the guest's, so that
 *     each frame is saved by the first handler that an exception meets.
 * G3  None stands inside of another.
 */
import { Op } from "../wasm/opcodes.js";
import type { FunctionAnalysis } from "./function-analysis.js";
import { type Site, SiteKind } from "./sites.js";

export interface SharedGuard {
  /** Instructions [from, to). */
  readonly from: number;
  readonly to: number;
  /** One of the calls: all have its frame. */
  readonly site: Site;
  /** Whether the end cannot be reached. */
  readonly endsDead: boolean;
}

/** In place of the height of the operand stack, in front of an instruction that cannot be reached from the one before. */
export const UNREACHABLE = -1;

/** The calls of some code, as far as they are alike. */
interface Calls {
  site: Site | undefined;
  count: number;
  /** Whether they differ, or something stands between them that must not be in a guard. */
  mixed: boolean;
}

interface Run {
  readonly from: number;
  to: number;
  readonly site: Site;
  count: number;
  endsDead: boolean;
  /** Guards that had been found before it. */
  readonly found: number;
}

/** The statements of a block, or of an arm of it, on the way through them. */
interface Sequence {
  readonly height: number;
  /** All statements before the one that is under way. */
  readonly before: Calls;
  /** The statement under way: where it began, the guards that had been found then, and its calls. */
  from: number;
  found: number;
  calls: Calls;
  run: Run | undefined;
}

const NOT_BEGUN = -1;

function noCalls(): Calls {
  return { site: undefined, count: 0, mixed: false };
}

function areEqual(a: readonly number[], b: readonly number[]): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function haveSameFrame(a: Site, b: Site): boolean {
  return areEqual(a.live, b.live) && areEqual(a.operands, b.operands) && areEqual(a.catchSections, b.catchSections);
}

function add(calls: Calls, { site, count, mixed }: Calls): void {
  calls.mixed ||= mixed;
  if (site !== undefined) addCalls(calls, site, count);
}

/** So many calls with the frame of one. */
function addCalls(calls: Calls, site: Site, count: number): void {
  calls.count += count;
  if (calls.site === undefined) calls.site = site;
  else calls.mixed ||= !haveSameFrame(site, calls.site);
}

class GuardSearch {
  readonly #analysis: FunctionAnalysis;
  readonly #sequences: Sequence[] = [];
  readonly #guards: SharedGuard[] = [];

  constructor(analysis: FunctionAnalysis) {
    this.#analysis = analysis;
  }

  find(): readonly SharedGuard[] {
    const { opcodes, dead, heights, baseHeights, sites, siteOf, instructionCount } = this.#analysis;
    this.#open(0);
    for (let i = 0; i < instructionCount; i++) {
      if (dead[i] === 1) continue;
      const sequence = this.#innermost();
      if (heights[i] === sequence.height) this.#endStatement(sequence, i, false);
      const opcode = opcodes[i];
      switch (opcode) {
        case Op.loop:
        case Op.try:
        case Op.tryTable:
          sequence.calls.mixed = true; // G2
          this.#open(baseHeights[i] as number);
          break;
        case Op.block:
        case Op.if:
          this.#open(baseHeights[i] as number);
          break;
        case Op.else:
        case Op.catch:
        case Op.catchAll:
          this.#close(i);
          this.#open(sequence.height);
          break;
        case Op.end:
        case Op.delegate:
          this.#close(i);
          break;
        default: {
          const site = sites[(siteOf[i] as number) - 1];
          if (site?.kind === SiteKind.call) addCalls(sequence.calls, site, 1);
        }
      }
    }
    return this.#guards;
  }

  #innermost(): Sequence {
    return this.#sequences[this.#sequences.length - 1] as Sequence;
  }

  #open(height: number): void {
    this.#sequences.push({
      ...{ height, before: noCalls(), from: NOT_BEGUN, found: this.#guards.length, calls: noCalls(), run: undefined },
    });
  }

  /** The end of a block or arm at `i`; what is in it belongs to a statement around. */
  #close(i: number): void {
    const sequence = this.#sequences.pop() as Sequence;
    if (this.#analysis.heights[i] === UNREACHABLE) this.#endStatement(sequence, i, true);
    else if (sequence.calls.count > 0) {
      // It leaves results, so no guard can end behind it: G1.
      add(sequence.before, sequence.calls);
    }
    this.#endRun(sequence);
    const around = this.#sequences[this.#sequences.length - 1];
    if (around !== undefined) {
      add(around.calls, sequence.before);
      around.calls.mixed ||= sequence.calls.mixed;
    }
  }

  #endStatement(sequence: Sequence, i: number, endsDead: boolean): void {
    const { calls, from, found, run } = sequence;
    if (calls.count > 0 || calls.mixed) {
      const { site, count } = calls;
      if (calls.mixed || from === NOT_BEGUN || site === undefined) this.#endRun(sequence);
      else if (run !== undefined && haveSameFrame(run.site, site)) {
        run.to = i;
        run.count += count;
        run.endsDead = endsDead;
      } else {
        this.#endRun(sequence);
        sequence.run = { from, to: i, site, count, endsDead, found };
      }
      add(sequence.before, calls);
      sequence.calls = noCalls();
    }
    sequence.from = i;
    sequence.found = this.#guards.length;
  }

  #endRun(sequence: Sequence): void {
    const { run } = sequence;
    sequence.run = undefined;
    if (run === undefined || run.count < 2) return;
    const { from, to, site, endsDead, found } = run;
    const since = this.#guards.splice(found).filter((guard) => guard.to <= from || guard.from >= to); // G3
    this.#guards.push({ from, to, site, endsDead }, ...since);
  }
}

/** The shared guards of a function, by the instruction that they begin at. */
export function findSharedGuards(analysis: FunctionAnalysis): ReadonlyMap<number, SharedGuard> {
  if (analysis.sites.length < 2) return NO_GUARDS;
  const guards = new GuardSearch(analysis).find();
  return guards.length === 0 ? NO_GUARDS : new Map(guards.map((guard) => [guard.from, guard]));
}

const NO_GUARDS: ReadonlyMap<number, SharedGuard> = new Map();
