/**
 * One function, understood far enough to be rewritten: its instructions, safepoint sites, and the operands that lie
 * below each site.
 *
 * The code is read once (instruction-pass.ts, value-instructions.ts), with the operand stack (operand-stack.ts) and the
 * blocks around (control-stack.ts) followed; then liveness.ts says which locals each site (sites.ts) must save, and
 * shared-guards.ts which calls are guarded together, and shared-tails.ts what is saved together.
 *
 * A1  The site set and the temporaries depend on the original bytes only, never on how safepoints are polled: an image
 *     saved by one form resumes in another.
 * A2  Unreachable instructions are marked dead and left out; they have no sites.
 * A3  If the operand at height h is marked as needed, so is every operand below it.
 *
 * The arrays are reused from function to function; one analysis is current at a time.
 */
import { ByteReader } from "../wasm/byte-reader.js";
import { type Module, typeOfFunction } from "../wasm/module.js";
import { EMPTY_BLOCK, Op } from "../wasm/opcodes.js";
import { type FunctionType, ValueType } from "../wasm/value-types.js";
import type { CallGraph } from "./call-graph.js";
import type { SharedTail } from "./frame-layout.js";
import { InstructionPass } from "./instruction-pass.js";
import { computeLiveness } from "./liveness.js";
import { findSharedGuards, type SharedGuard } from "./shared-guards.js";
import { findSharedTails } from "./shared-tails.js";
import { type CaughtException, type MultiProducer, type Site, SiteKind } from "./sites.js";

const NONE: readonly ValueType[] = [];

export class FunctionAnalysis {
  readonly module: Module;
  readonly graph: CallGraph;

  instructionCount = 0;
  opcodes: Uint8Array = new Uint8Array(0);
  /** Start of each instruction; one more entry for the end of the body. */
  positions: Int32Array = new Int32Array(0);
  /** Blocktype (negative: as in the format, -64 for empty), label, or index, by opcode. */
  operands: Int32Array = new Int32Array(0);
  /** 1 + the temporary that receives a copy of the instruction's result, or 0. */
  copies: Int32Array = new Int32Array(0);
  dead: Uint8Array = new Uint8Array(0);
  /** For a block's start its end; for its end, else and catches its start. */
  partners: Int32Array = new Int32Array(0);
  /** For `if` its else; for `try` its first catch; for a first catch 1; else 0. */
  arms: Int32Array = new Int32Array(0);
  /** 1 + index in `sites`, or 0. */
  siteOf: Int32Array = new Int32Array(0);
  /** Operand stack height at a block's start, parameters not counted. */
  baseHeights: Int32Array = new Int32Array(0);
  /** Operand stack height in front of each instruction; UNREACHABLE where it does not follow from the one before. */
  heights: Int32Array = new Int32Array(0);
  /** For a loop's end: what a turn may cost. */
  loopCosts: Uint8Array = new Uint8Array(0);

  functionIndex = 0;
  type: FunctionType = { params: NONE, results: NONE };
  /** Parameters, then declared locals. */
  localTypes: ValueType[] = [];
  /** Declared locals as the body has them. */
  localGroups: [count: number, type: ValueType][] = [];
  bodyFrom = 0;
  temporaryTypes: ValueType[] = [];
  sites: Site[] = [];
  multiProducers = new Map<number, MultiProducer>();
  caughtExceptions = new Map<number, CaughtException>();
  /** By the instruction that they begin at. */
  sharedGuards: ReadonlyMap<number, SharedGuard> = new Map();
  /** Of the sites' frames. */
  tails: readonly SharedTail[] = [];

  readonly #pass: InstructionPass;
  readonly #temporaries = new Map<number, number>();
  /** Temporaries that the analysis made; those behind belong to a writer. */
  #analysedLocals = 0;
  #capacity = 0;

  constructor(module: Module, graph: CallGraph) {
    this.module = module;
    this.graph = graph;
    this.#pass = new InstructionPass(this);
  }

  /** The type of a local or temporary. */
  typeOfLocal(index: number): ValueType {
    const declared = this.localTypes.length;
    return (index < declared ? this.localTypes[index] : this.temporaryTypes[index - declared]) as ValueType;
  }

  /** Forgets locals that were added after the analysis: each writing of the function adds its own. */
  dropAddedLocals(): void {
    this.temporaryTypes.length = this.#analysedLocals;
  }

  /** A new local beside the function's own. */
  addLocal(type: ValueType): number {
    this.temporaryTypes.push(type);
    return this.localTypes.length + this.temporaryTypes.length - 1;
  }

  /** The temporary for an operand at a height. */
  temporary(height: number, type: ValueType): number {
    const key = height * 256 + type;
    const known = this.#temporaries.get(key);
    if (known !== undefined) return known;
    const index = this.addLocal(type);
    this.#temporaries.set(key, index);
    return index;
  }

  blockParams(blockType: number): readonly ValueType[] {
    return blockType < 0 ? NONE : (this.module.types[blockType] as FunctionType).params;
  }

  blockResults(blockType: number): readonly ValueType[] {
    if (blockType === EMPTY_BLOCK - 0x80) return NONE;
    if (blockType < 0) return [(blockType + 0x80) as ValueType];
    return (this.module.types[blockType] as FunctionType).results;
  }

  tagParams(tag: number): readonly ValueType[] {
    return (this.module.types[this.module.tags[tag] as number] as FunctionType).params;
  }

  /** Analyses a function with a body. Afterwards `sites` is filled, liveness included. */
  analyze(functionIndex: number): void {
    const { module, graph } = this;
    const body = 2 * (functionIndex - module.importedFunctionCount);
    const from = module.bodies[body] as number;
    this.functionIndex = functionIndex;
    this.type = typeOfFunction(module, functionIndex);
    this.temporaryTypes = [];
    this.#temporaries.clear();
    this.sites = [];
    this.multiProducers.clear();
    this.caughtExceptions.clear();
    this.#readLocals(from);
    if (graph.entrySafepoint[functionIndex] === 1) {
      this.sites.push({
        instruction: -1,
        kind: SiteKind.entry,
        offset: from,
        operands: [],
        catchSections: [],
        live: [],
        tail: undefined,
      });
    }
    this.#pass.read(this.bodyFrom, module.bodies[body + 1] as number);
    if (this.sites.length > 0) {
      if (this.#pass.rethrownSections.size > 0) this.#keepCaughtExceptions();
      computeLiveness(this);
    }
    this.sharedGuards = findSharedGuards(this);
    this.tails = findSharedTails(this);
    this.#analysedLocals = this.temporaryTypes.length;
  }

  #readLocals(from: number): void {
    const reader = new ByteReader(this.module.bytes, from);
    this.localTypes = [...this.type.params];
    this.localGroups = [];
    for (let groups = reader.u32(); groups > 0; groups--) {
      const count = reader.u32();
      const type = reader.u8() as ValueType;
      this.localGroups.push([count, type]);
      for (let i = 0; i < count; i++) this.localTypes.push(type);
    }
    this.bodyFrom = reader.position;
  }

  /** Makes room for so many instructions; the arrays may be new ones then. */
  reserve(count: number): void {
    if (count > this.#capacity) this.#grow();
  }

  #grow(): void {
    this.#capacity = Math.max(1 << 14, this.#capacity * 2);
    const wider = (old: Int32Array): Int32Array => {
      const array = new Int32Array(this.#capacity + 1);
      array.set(old);
      return array;
    };
    const wide8 = (old: Uint8Array): Uint8Array => {
      const array = new Uint8Array(this.#capacity + 1);
      array.set(old);
      return array;
    };
    this.opcodes = wide8(this.opcodes);
    this.dead = wide8(this.dead);
    this.loopCosts = wide8(this.loopCosts);
    this.positions = wider(this.positions);
    this.operands = wider(this.operands);
    this.copies = wider(this.copies);
    this.partners = wider(this.partners);
    this.arms = wider(this.arms);
    this.siteOf = wider(this.siteOf);
    this.baseHeights = wider(this.baseHeights);
    this.heights = wider(this.heights);
  }

  /** Gives the sections that rethrow, and that a site lies in, locals for the exception they caught. */
  #keepCaughtExceptions(): void {
    for (const section of this.#pass.rethrownSections) {
      if (!this.sites.some((site) => site.catchSections.includes(section))) continue;
      const all = this.opcodes[section] === Op.catchAll;
      const tags = all ? this.module.tags.map((_, tag) => tag) : [this.operands[section] as number];
      const payloads = new Map(tags.map((tag) => [tag, this.tagParams(tag).map((type) => this.addLocal(type))]));
      this.caughtExceptions.set(section, { which: all ? this.addLocal(ValueType.i32) : undefined, payloads });
    }
  }

  /** The locals that hold the exceptions of the catch sections around a site. */
  caughtLocals(site: Site): number[] {
    const locals: number[] = [];
    for (const section of site.catchSections) {
      const caught = this.caughtExceptions.get(section);
      if (caught === undefined) continue;
      if (caught.which !== undefined) locals.push(caught.which);
      for (const payload of caught.payloads.values()) locals.push(...payload);
    }
    return locals;
  }
}
