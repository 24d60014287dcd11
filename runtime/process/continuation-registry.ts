/**
 * The continuations of a machine, built when a stack needs them, and kept for the next.
 *
 * A frame's record names the place where it was left. Before a stack is entered, each name is replaced by the slot of
 * its continuation in a table; a continuation takes the slot of the next inner frame from the frame stack and calls it.
 *
 * What a continuation of a large function is worth is in the loops that it turns again: these are compiled well, apart from any
 * place and once for each loop (outer-turns.ts), for on-stack replacement or ahead of a persistence point. For the latter what goes
 * on to the end of the turn is compiled quickly.
 *
 * R1  A place's continuation is current if all loops around it that are apart by now were so when it was built. One that is not
 *     is never entered: it has such a loop in itself.
 */
import {
  CONTINUATION_IMPORTS,
  type ContinuationBuilder,
  continuationExport,
  type Pieces,
} from "../instrument/continuation.js";
import { builtModule } from "../instrument/continuation-names.js";
import type { LoopAround } from "../instrument/places.js";
import { withOptimizingHints } from "../wasm/compilation-hints.js";
import { bodyByteLength } from "../wasm/module.js";
import type { CompiledContinuations } from "./continuation-modules.js";
import type { Fn, MachineInstance } from "./machine-instance.js";
import type { Replacement } from "./on-stack-replacement.js";
import { type Frame, readFrames } from "./stacks.js";
import { TurnTable } from "./turn-table.js";
import type { EngineFrame } from "./wasm-stack.js";

/** Bytes of the guest's code from which on a loop around another is optimised only if it has been seen to turn. */
const LARGE_LOOP = 1 << 15;

const NONE: ReadonlySet<number> = new Set();

type IsWanted = (loop: LoopAround, isInnermost: boolean, name: number) => boolean;

interface Entry {
  readonly slot: number;
  /** How many of the loops around the place were apart. */
  readonly apart: number;
  readonly optimized: boolean;
}

/** Where an activation stands that goes on in a continuation. */
export interface Continued {
  /** Undefined: at no place where it could be left. */
  readonly name: number | undefined;
  /** Whether it was compiled quickly. */
  readonly isQuick: boolean;
}

/** Pieces for somebody else to compile; `adopt` takes them over. */
export interface Built {
  readonly bytes: Uint8Array;
  adopt(module: WebAssembly.Module): void;
}

export class ContinuationRegistry {
  readonly #instance: MachineInstance;
  readonly #table = new WebAssembly.Table({ element: "anyfunc", initial: 0 });
  /** By place. */
  readonly #entries = new Map<number, Entry>();
  readonly #turns: TurnTable;
  /** Modules of good code. */
  readonly #optimized = new Set<number>();
  /** The stack that was read last: it is asked about several times on its way in. */
  #last: { readonly bytes: Uint8Array; readonly frames: Frame[] } | undefined;

  constructor(instance: MachineInstance) {
    this.#instance = instance;
    this.#turns = new TurnTable(() => this.#builder.numbers);
  }

  get #builder(): ContinuationBuilder {
    return this.#instance.program.continuations;
  }

  /**
   * The frames of a stack, outermost first, with a continuation for each place.
   *
   * @throws VermilionError IMAGE_DAMAGED when they do not fit the program.
   */
  enterable(bytes: Uint8Array): Frame[] {
    this.#provide(this.#namesIn(bytes));
    return this.#framesOf(bytes);
  }

  /** Calls the outermost continuation, which calls the next, and so on. */
  enter(bytes: Uint8Array): unknown {
    const frames = this.enterable(bytes);
    const records = new Uint8Array(bytes);
    const view = new DataView(records.buffer);
    const slots = new Map<number, number>();
    for (const { name, nameOffset } of frames) {
      const slot = slots.get(name) ?? (this.#current(name)?.slot as number);
      slots.set(name, slot);
      view.setUint32(nameOffset, slot, true);
    }
    this.#last = undefined;
    this.#instance.placeRecords(records);
    return (this.#table.get(this.#instance.nextRecord()) as Fn)();
  }

  /** Whether a frame that is left there would need a continuation that is not there. */
  lacks(name: number): boolean {
    return this.#current(name) === undefined;
  }

  /**
   * Loops around these places whose turns lack good code and are worth it. A large one with another in it may never turn: only
   * if the guest has been seen in `quick` code there.
   */
  lackingTurns(names: readonly number[], quick: ReadonlySet<number> = NONE): number[] {
    const isWanted: IsWanted = ({ byteLength }, isInnermost, name) =>
      isInnermost || byteLength <= LARGE_LOOP || quick.has(name);
    return this.#loopsAround(names, isWanted).filter((header) => !this.#turns.isOptimized(header));
  }

  /** Undefined: in no continuation. */
  continuedAt({ module, offset }: EngineFrame): Continued | undefined {
    const built = builtModule(module);
    return built === undefined
      ? undefined
      : { name: this.#builder.siteIn(built, offset), isQuick: !this.#optimized.has(built) };
  }

  /** Whether what a place needs is little: no loop is written again in it. */
  isLittle(name: number): boolean {
    return this.#loopsAround([name]).every((header) => this.#turns.has(header));
  }

  /** Continuations for these places, to be compiled quickly. */
  build(places: readonly number[]): Built {
    return this.#build({ turns: [], places, apart: this.#apartAround(places) }, false);
  }

  /** The further turns of these loops, and continuations for these places, to be compiled well. */
  buildWell(turns: readonly number[], places: readonly number[] = []): Built {
    const around = [...turns, ...places];
    this.#addTurns(this.#loopsAround(around).filter((header) => !turns.includes(header)));
    return this.#build({ turns, places, apart: new Set([...this.#apartAround(around), ...turns]) }, true);
  }

  /**
   * Optimised code for the frames of a stack that are in loops, as far as the replacement affords it: for the loops, and for what
   * leads to the end of their turns, which may be long.
   */
  optimize(bytes: Uint8Array, replacement: Replacement): void {
    const names = this.#namesIn(bytes);
    const first = this.lackingTurns(names);
    const lacking = first.length > 0 ? first : this.lackingTurns(names, new Set(names));
    const places = names.filter((name) => this.#loopsAround([name]).length > 0 && !this.#isGood(name, lacking));
    const byteLength = this.#bodyByteLength(places);
    if (!replacement.affords(byteLength)) return;
    const startedAt = performance.now();
    if (places.length > 0) {
      const { bytes: code, adopt } = this.buildWell(lacking, places);
      const module = replacement.compile(code);
      if (module !== undefined) adopt(module);
    }
    replacement.done(byteLength, performance.now() - startedAt);
  }

  /** Bytes that were read do not change but for values. */
  #framesOf(bytes: Uint8Array): Frame[] {
    if (this.#last?.bytes !== bytes) {
      this.#last = { bytes, frames: readFrames(bytes, this.#builder) };
    }
    return this.#last.frames;
  }

  /** Most stacks are deep by a few places. */
  #namesIn(bytes: Uint8Array): number[] {
    return [...new Set(this.#framesOf(bytes).map(({ name }) => name))];
  }

  /** Whether its continuation is good code, and will be when these loops are apart, too. */
  #isGood(name: number, lacking: readonly number[]): boolean {
    return this.#current(name)?.optimized === true && !this.#loopsAround([name]).some((loop) => lacking.includes(loop));
  }

  /** Of the functions that they are in, as whoever decides to stop counts them before (StopReasons). */
  #bodyByteLength(names: readonly number[]): number {
    const { module } = this.#instance.program;
    const functions = new Set(names.flatMap((name) => this.#builder.place(name)?.functionIndex ?? []));
    return [...functions].reduce((sum, index) => sum + bodyByteLength(module, index), 0);
  }

  /** R1. */
  #current(name: number): Entry | undefined {
    const entry = this.#entries.get(name);
    return entry !== undefined && entry.apart === this.#apartAround([name]).size ? entry : undefined;
  }

  /** Their headers. */
  #loopsAround(names: readonly number[], isWanted: IsWanted = () => true): number[] {
    const wanted = names.flatMap((name) => {
      const loops = this.#builder.place(name)?.loops ?? [];
      return loops.filter((loop, i) => isWanted(loop, i === loops.length - 1, name));
    });
    return [...new Set(wanted.map(({ header }) => header))];
  }

  #apartAround(names: readonly number[]): Set<number> {
    return new Set(this.#loopsAround(names).filter((header) => this.#turns.has(header)));
  }

  #provide(names: readonly number[]): void {
    const missing = names.filter((name) => this.lacks(name)).sort((a, b) => a - b);
    if (missing.length === 0) return;
    this.#provideTurns(missing);
    this.#addQuickly({ turns: [], places: missing, apart: this.#apartAround(missing) });
  }

  /** Of the loops that no continuation can have in itself. */
  #provideTurns(names: readonly number[]): void {
    const large = names.filter((name) => {
      const place = this.#builder.place(name);
      return place !== undefined && this.#builder.isTooLarge(place);
    });
    this.#addTurns(this.#loopsAround(large));
  }

  /** Of those that are not apart. */
  #addTurns(headers: readonly number[]): void {
    const turns = headers.filter((header) => !this.#turns.has(header));
    if (turns.length === 0) return;
    this.#addQuickly({ turns, places: [], apart: new Set([...this.#apartAround(turns), ...turns]) });
  }

  #addQuickly(pieces: Pieces): void {
    this.#add(pieces, this.#instance.program.continuationModules.compiled(pieces), false);
  }

  #build(pieces: Pieces, optimized: boolean): Built {
    const { bytes, built, importedFunctions } = this.#builder.build(pieces, this.#instance.program.mode);
    const adopt = (module: WebAssembly.Module) => {
      if (optimized) this.#optimized.add(built);
      this.#add(pieces, { module, importedFunctions }, optimized);
    };
    // The engine knows compiled code by the bytes of its module: those for good code differ by the hints.
    return { bytes: optimized ? withOptimizingHints(bytes) : bytes, adopt };
  }

  #add({ turns, places, apart }: Pieces, compiled: CompiledContinuations, optimized: boolean): void {
    const { exports, stack } = this.#instance;
    const functions: Record<string, WebAssembly.ImportValue> = {};
    for (const index of compiled.importedFunctions) functions[`${index}`] = this.#instance.functionAt(index) as Fn;
    const continuations = new WebAssembly.Instance(compiled.module, {
      [CONTINUATION_IMPORTS.main]: exports as WebAssembly.ModuleImports,
      [CONTINUATION_IMPORTS.stack]: stack as WebAssembly.ModuleImports,
      [CONTINUATION_IMPORTS.function]: functions,
      [CONTINUATION_IMPORTS.table]: { continuations: this.#table },
      [CONTINUATION_IMPORTS.turns]: this.#turns.imports(),
    });
    const pieceAt = (index: number) => continuations.exports[continuationExport(index)] as Fn;
    turns.forEach((header, i) => {
      this.#turns.set(header, pieceAt(i), optimized);
    });
    places.forEach((name, i) => {
      const slot = this.#entries.get(name)?.slot ?? this.#table.grow(1);
      this.#table.set(slot, pieceAt(turns.length + i));
      this.#entries.set(name, {
        ...{ slot, optimized },
        apart: this.#loopsAround([name]).filter((h) => apart.has(h)).length,
      });
    });
  }
}
