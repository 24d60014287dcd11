/**
 * Chooses the moment of a persistence point that time has made due: where the guest can go on in code that is there.
 *
 * To go on, each frame needs a continuation of its place, and a program that does many things is at another place each time. One
 * that has loops in itself takes up to tens of milliseconds to write and compile, and what is compiled that quickly is slow for as
 * long as the activation lasts. So a look at the engine's stack trace says at which places the guest stands, without stopping
 * it. The further turns of the loops around them are compiled by another thread, well if it can, while the guest runs on; what goes
 * on to the end of a turn is soon made then. Where they cannot be compiled well, whole continuations are made ahead, and
 * soon the guest is at a place that has been seen before.
 *
 * What the trace says is believed only so far: whatever is lacking after all when the guest has stopped is made then.
 */
import { HOST_CALL } from "../instrument/places.js";
import { bodyByteLength } from "../wasm/module.js";
import type { ContinuationRegistry } from "./continuation-registry.js";
import { type BackgroundCompiler, OPTIMIZING_SPEED } from "./optimizing-compiler.js";
import type { Program } from "./program.js";
import { wasmStack } from "./wasm-stack.js";

/** A look takes a tenth of that. */
const LOOK_EVERY_MS = 2;
/** Of the time that a loop takes to compile well: for so long it must have been seen running. */
const SHARE_SEEN = 0.1;
/** For so long a place is looked for that lacks nothing, and not only little. */
const BRIEF_MS = 20;
/** Times the patience, while something is being compiled: a stop would make what is lacking once more, while the guest waits. */
const MOST_PATIENCE = 2;
/** Of the time that the guest runs, for writing continuations. */
const SHARE = 0.1;
/** Bytes of function bodies that continuations are written of in a millisecond, as long as that code is new to the engine itself. */
const USUAL_SPEED = 4000;
/** In all: a program that is never twice at the same place would fill memory with code. */
const MOST_BYTES = 8 * 2 ** 20;

export interface MomentParts {
  readonly program: Program;
  readonly continuations: ContinuationRegistry;
  readonly compiler: BackgroundCompiler;
}

interface Standing {
  readonly places: readonly number[];
  readonly quick: ReadonlySet<number>;
}

export class PointMoments {
  readonly #program: Program;
  readonly #continuations: ContinuationRegistry;
  readonly #compiler: BackgroundCompiler;
  readonly #begunAt = performance.now();
  /** Since when a point is due; undefined: none is, as far as is known. */
  #dueSince: number | undefined;
  #lookAt = 0;
  /** What is being compiled. */
  #adopt: ((module: WebAssembly.Module) => void) | undefined;
  /** Loops that lack good code: at how many looks the guest was in them. */
  readonly #seen = new Map<number, number>();
  #spent = 0;
  #bytes = 0;

  constructor({ program, continuations, compiler }: MomentParts) {
    this.#program = program;
    this.#continuations = continuations;
    this.#compiler = compiler;
  }

  /**
   * Whether to stop now for a point that is due; to be called in a poll, or in front of a call of the host's function with that
   * index. `patience`: milliseconds for which a better moment may be waited for.
   */
  isGood(patience: number, hostFunction?: number): boolean {
    const now = performance.now();
    this.#dueSince ??= now;
    const waited = now - this.#dueSince;
    if (waited >= patience && (this.#adopt === undefined || waited >= MOST_PATIENCE * patience)) return true;
    if (now < this.#lookAt) return false;
    this.#takeCompiled();
    const { places, quick } = this.#places(hostFunction);
    const turns = this.#compiler.isOptimizing ? this.#continuations.lackingTurns(places, quick) : [];
    const lacking = places.filter((name) => this.#continuations.lacks(name));
    if (turns.length === 0 && this.#areCheap(lacking, waited)) return true;
    if (turns.length === 0) this.#prepare(lacking, false);
    else this.#prepare(this.#worthwhile(turns), true);
    this.#lookAt = performance.now() + LOOK_EVERY_MS;
    return false;
  }

  /** The guest stops for it. */
  taken(): void {
    this.#dueSince = undefined;
  }

  #takeCompiled(): void {
    const compiled = this.#adopt && this.#compiler.finished();
    if (compiled === undefined) return;
    const { module } = compiled;
    if (module !== undefined) this.#adopt?.(module);
    else this.#bytes = MOST_BYTES; // more than the engine takes: no more of it
    this.#adopt = undefined;
  }

  /** Of continuations that are to be made while the guest waits. */
  #areCheap(places: readonly number[], waited: number): boolean {
    return places.length === 0 || (waited >= BRIEF_MS && places.every((name) => this.#continuations.isLittle(name)));
  }

  /** Where the guest is, and where of these in continuations that were compiled quickly. */
  #places(hostFunction: number | undefined): Standing {
    const places = new Set<number>();
    const quick = new Set<number>();
    const { continuations, sites } = this.#program;
    for (const frame of wasmStack()) {
      const continued = this.#continuations.continuedAt(frame);
      const name = continued === undefined ? sites.find(frame.functionIndex, frame.offset) : continued.name;
      if (name === undefined || continuations.place(name) === undefined) continue;
      places.add(name);
      if (continued?.isQuick === true) quick.add(name);
    }
    if (hostFunction !== undefined) places.add(HOST_CALL | hostFunction);
    return { places: [...places], quick };
  }

  /** What the guest is in for a moment only is soon left, and need not be compiled for it. */
  #worthwhile(turns: readonly number[]): number[] {
    for (const header of turns) this.#seen.set(header, (this.#seen.get(header) ?? 0) + 1);
    return turns.filter((header) => {
      const looksWanted = (this.#byteLength([header]) / OPTIMIZING_SPEED) * (SHARE_SEEN / LOOK_EVERY_MS);
      return (this.#seen.get(header) ?? 0) >= looksWanted;
    });
  }

  /** Turns, or places. Unless something is being compiled, or more has been written than the run so far is worth. */
  #prepare(pieces: readonly number[], areTurns: boolean): void {
    if (pieces.length === 0) return;
    const bytes = this.#byteLength(pieces);
    const now = performance.now();
    const isAffordable = this.#spent + bytes / USUAL_SPEED <= SHARE * (now - this.#begunAt);
    if (this.#adopt !== undefined || !isAffordable || this.#bytes + bytes > MOST_BYTES) return;
    const sorted = [...pieces].sort((a, b) => a - b);
    const { bytes: code, adopt } = areTurns ? this.#continuations.buildWell(sorted) : this.#continuations.build(sorted);
    this.#adopt = adopt;
    this.#compiler.begin(code, areTurns);
    this.#bytes += bytes;
    this.#spent += performance.now() - now;
  }

  /** Of the functions that pieces are written of. */
  #byteLength(pieces: readonly number[]): number {
    const { module, continuations } = this.#program;
    return pieces.reduce((sum, name) => {
      const place = continuations.place(name);
      return sum + (place === undefined || name >= HOST_CALL ? 0 : bodyByteLength(module, place.functionIndex));
    }, 0);
  }
}
