/**
 * Functions with a safepoint at their entry: enough of them that every cycle of calls crosses one, where no loop does.
 *
 * The fewest would be a minimum feedback vertex set, which is hard to find and not what is wanted: a poll at the entry of
 * a large function is nothing beside its body, and one in a small function that everybody calls is felt. So the cycles
 * that a depth-first search finds are cut at their largest function. That need not cut others through the same back edge,
 * so the search is repeated without the functions chosen, and at last back edges are cut at their targets.
 */
import { bodyByteLength, type Module } from "../wasm/module.js";

export interface Calls {
  readonly module: Module;
  /** By caller: node << 1 | outside of every loop. Nodes are functions, and behind them types called through tables. */
  readonly edges: Int32Array;
  /** First edge, by function index, and one more. */
  readonly firstEdge: Int32Array;
  /** Functions by canonical type whose reference is taken. */
  readonly taken: readonly (readonly number[])[];
}

/** Instead of a place on the path. */
const NOT_VISITED = -1;
const DONE = -2;

/** Searches that cut cycles at their largest function. */
const ROUNDS = 8;

/** By function index: 1 for a safepoint at the entry. */
export function findEntrySafepoints(calls: Calls): Uint8Array {
  const chosen = new Uint8Array(calls.module.functionTypes.length);
  const search = new CycleSearch(calls, chosen);
  for (let round = 0; round < ROUNDS; round++) if (!search.cut("largest")) return chosen;
  search.cut("target");
  return chosen;
}

/** Depth-first searches over the calls that no loop covers, between functions that are not chosen yet. */
class CycleSearch {
  readonly #calls: Calls;
  readonly #chosen: Uint8Array;
  readonly #functionCount: number;
  readonly #path: Int32Array;
  /** By depth on the path: how many of the node's edges have been followed. */
  readonly #followed: Int32Array;

  constructor(calls: Calls, chosen: Uint8Array) {
    this.#calls = calls;
    this.#chosen = chosen;
    this.#functionCount = chosen.length;
    const nodeCount = this.#functionCount + calls.module.types.length;
    this.#path = new Int32Array(nodeCount);
    this.#followed = new Int32Array(nodeCount);
  }

  /** Follows the next edge of the node at a depth of the path; -1: there is none left. */
  #nextTarget(depth: number): number {
    const { module, edges, firstEdge, taken } = this.#calls;
    const node = this.#path[depth] as number;
    const isType = node >= this.#functionCount;
    const functions = isType ? (taken[node - this.#functionCount] as readonly number[]) : undefined;
    const first = isType ? 0 : (firstEdge[node] as number);
    const end = functions?.length ?? (firstEdge[node + 1] as number) - first;
    let step = this.#followed[depth] as number;
    while (step < end) {
      const edge = functions === undefined ? (edges[first + step] as number) : ((functions[step] as number) << 1) | 1;
      step++;
      const target = edge >> 1;
      if ((edge & 1) === 0 || target < module.importedFunctionCount || this.#chosen[target] === 1) continue;
      this.#followed[depth] = step;
      return target;
    }
    this.#followed[depth] = step;
    return -1;
  }

  /**
   * Chooses a function for every back edge: its target (its source, if the target is a type), or the largest on the path
   * from there, unless one of those is chosen already. Says whether there were any.
   */
  cut(where: "target" | "largest"): boolean {
    const path = this.#path;
    const position = new Int32Array(path.length).fill(NOT_VISITED); // on the path, or DONE
    let depth = -1;
    let lastChosen = -1; // on the path
    let found = false;
    const enter = (node: number): void => {
      path[++depth] = node;
      this.#followed[depth] = 0;
      position[node] = depth;
    };
    for (let root = this.#calls.module.importedFunctionCount; root < this.#functionCount; root++) {
      if (position[root] !== NOT_VISITED || this.#chosen[root] === 1) continue;
      enter(root);
      while (depth >= 0) {
        const target = this.#nextTarget(depth);
        if (target < 0) {
          position[path[depth--] as number] = DONE;
          if (lastChosen > depth) lastChosen = this.#lastChosen(depth);
        } else if (position[target] === NOT_VISITED) enter(target);
        else if (position[target] !== DONE) {
          const at = position[target] as number;
          if (where === "largest" && lastChosen >= at) continue; // this cycle is cut
          const from = where === "largest" || target < this.#functionCount ? at : depth;
          lastChosen = Math.max(lastChosen, this.#chooseLargest(from, where === "largest" ? depth : from));
          found = true;
        }
      }
    }
    return found;
  }

  /** Chooses the largest function between two places of the path, and returns its place. */
  #chooseLargest(from: number, to: number): number {
    let largest = -1;
    let place = from;
    for (let at = from; at <= to; at++) {
      const node = this.#path[at] as number;
      if (node >= this.#functionCount) continue;
      const byteLength = bodyByteLength(this.#calls.module, node);
      if (byteLength > largest) {
        largest = byteLength;
        place = at;
      }
    }
    this.#chosen[this.#path[place] as number] = 1;
    return place;
  }

  /** The last place of the path, up to a depth, with a chosen function; -1: there is none. */
  #lastChosen(depth: number): number {
    for (let at = depth; at >= 0; at--) {
      const node = this.#path[at] as number;
      if (node < this.#functionCount && this.#chosen[node] === 1) return at;
    }
    return -1;
  }
}
