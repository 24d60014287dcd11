/**
 * What many frames of a function have in common, saved in one place. A large function's activations keep some twenty values wherever
 * they are, and a few more that depend on the place; code that saves all of them at each of 500 sites was half of the instrumented
 * function. So the common values are the *tail* of those frames. A handler saves what else there is, the head, and leaves for the
 * place behind the body where the tail is saved:
 *
 *     block $tail
 *       <body>
 *         ... try  call $f  catch_all  <spill the head>  call $headN (.., site)  br_if $tail  rethrow 0  end ...
 *       return
 *     end
 *     <spill the tail>  call $tailN     ;; which unwinds
 *
 * headN says whether frames are being saved: an exception of the guest's goes on to the guest's handlers. docs/rationale.md#shared-tails
 *
 * T1  All values of a tail are in the frame of each site that has it: frames hold what is live, and nothing else.
 * T2  Tails follow from the sites alone, so frames are the same in each form.
 */
import { EMPTY_BLOCK, Op } from "../wasm/opcodes.js";
import type { WriterContext } from "./code-target.js";
import { frameLocals, type SharedTail, valuesOf } from "./frame-layout.js";
import type { FunctionAnalysis } from "./function-analysis.js";
import { spillValues } from "./polls-and-spills.js";
import type { Site } from "./sites.js";

/** Fewer sites than these have nothing worth sharing. */
const FEWEST_SITES = 4;
const MOST_TAILS = 8;
/** Values, in all frames together, that a tail must spare: below that, to leave for it costs as much. */
const LEAST_SPARED = 32;
/** What a tail costs each of its sites, in values. */
const COST_EACH = 2;

interface Choice {
  readonly locals: readonly number[];
  readonly members: readonly Site[];
  readonly others: readonly Site[];
}

/** Gives the sites their tails. */
export function findSharedTails(analysis: FunctionAnalysis): readonly SharedTail[] {
  const tails: SharedTail[] = [];
  let sites: readonly Site[] = analysis.sites;
  while (sites.length >= FEWEST_SITES && tails.length < MOST_TAILS) {
    const choice = bestTail(analysis, sites);
    if (choice === undefined) break;
    const tail = { ...valuesOf(analysis, choice.locals), locals: new Set(choice.locals) };
    for (const site of choice.members) site.tail = tail;
    tails.push(tail);
    sites = choice.others;
  }
  return tails;
}

/** Of the values in the order of how many frames hold them, the first ones, as many as spare most where all of them are. */
function bestTail(analysis: FunctionAnalysis, sites: readonly Site[]): Choice | undefined {
  const frames = sites.map((site) => frameLocals(analysis, site));
  if (frames.reduce((sum, { length }) => sum + length, 0) < LEAST_SPARED) return undefined; // as in most functions
  const { localTypes, temporaryTypes } = analysis;
  const holders = new Int32Array(localTypes.length + temporaryTypes.length);
  for (const frame of frames) for (const local of frame) holders[local]!++;
  const order = [...holders.keys()].filter((local) => (holders[local] as number) >= FEWEST_SITES);
  order.sort((a, b) => (holders[b] as number) - (holders[a] as number) || a - b);
  const lengths = commonLengths(frames, order, holders.length);
  const reaching = new Int32Array(order.length + 1);
  for (const length of lengths) reaching[length]!++;
  let members = 0;
  let [best, spared] = [0, LEAST_SPARED - 1];
  for (let length = order.length; length > 0; length--) {
    members += reaching[length] as number;
    const spares = length * (members - 1) - COST_EACH * members;
    if (members >= FEWEST_SITES && spares > spared) [best, spared] = [length, spares];
  }
  if (best === 0) return undefined;
  const isMember = (index: number): boolean => (lengths[index] as number) >= best;
  return {
    locals: order.slice(0, best),
    members: sites.filter((_, index) => isMember(index)),
    others: sites.filter((_, index) => !isMember(index)),
  };
}

/** How many locals each frame holds of those that stand first. */
function commonLengths(frames: readonly (readonly number[])[], order: readonly number[], locals: number): number[] {
  const ranks = new Int32Array(locals).fill(-1);
  for (const [rank, local] of order.entries()) ranks[local] = rank;
  const held = new Int32Array(order.length + 1).fill(-1);
  let length = 0;
  return frames.map((frame, index) => {
    if (frame === frames[index - 1]) return length;
    for (const local of frame) {
      const rank = ranks[local] as number;
      if (rank >= 0) held[rank] = index;
    }
    length = 0;
    while (held[length] === index) length++;
    return length;
  });
}

/** Where the tails of a function that is being written are saved. */
export class TailCode {
  readonly #tails: readonly SharedTail[];
  /** Of the labels that lead there. */
  readonly #levels = new Map<SharedTail, number>();

  constructor({ tails }: FunctionAnalysis) {
    this.#tails = tails;
  }

  /** In front of the body, and of all that leaves for a tail. */
  open({ code }: WriterContext): void {
    for (const tail of this.#tails) {
      code.bytes(Op.block, EMPTY_BLOCK);
      this.#levels.set(tail, code.nest());
    }
  }

  /** Behind all of it. */
  close(context: WriterContext): void {
    const { code, target } = context;
    if (this.#tails.length > 0) code.bytes(Op.return);
    for (const tail of this.#tails.toReversed()) {
      code.bytes(Op.end);
      code.unnest();
      const words = spillValues(context, tail);
      code.call(target.helpers.tail[words] as number);
      code.bytes(Op.unreachable);
    }
  }

  /** Leaves for a tail, if the stack says so. */
  leaveFor({ code }: WriterContext, tail: SharedTail): void {
    code.withIndex(Op.brIf, code.labelAt(this.#levels.get(tail) as number));
  }
}
