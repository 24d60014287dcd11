/**
 * The places where frames can be left, by name, and what a saved frame of each looks like.
 *
 * A name is the byte offset of a site in the original module; with a high bit set, a host call by function index.
 */
import { bodyByteLength, functionAtByte, type Module, typeOfFunction } from "../wasm/module.js";
import { Op } from "../wasm/opcodes.js";
import type { ValueType } from "../wasm/value-types.js";
import type { CallGraph } from "./call-graph.js";
import { frameLayout, localsOf, savedByteLengthOf } from "./frame-layout.js";
import { FunctionAnalysis } from "./function-analysis.js";
import { headerOf } from "./loops.js";
import { type Site, SiteKind } from "./sites.js";

/** Added to the index of a host call. A blocked one was interrupted while it waited; one that returns has its results. */
export const HOST_CALL = 0x40000000;
export const BLOCKED_HOST_CALL = 0x60000000;
export const HOST_RETURN = 0x80000000;
const INDEX_MASK = 0x1fffffff;

/** What a saved frame must look like, and what may stand inside it. */
export interface Place {
  readonly functionIndex: number;
  readonly byteLength: number;
  /** Types of the values, in the order of the frame. */
  readonly values: readonly ValueType[];
  readonly results: readonly ValueType[];
  /** For a call: the results that the next inner frame must yield. Undefined: nothing may stand inside. */
  readonly calleeResults: readonly ValueType[] | undefined;
  /** A host call that was not made crosses its safepoint again on resume. */
  readonly recrossed: boolean;
  /** The loops that what follows turns, outermost first. */
  readonly loops: readonly LoopAround[];
}

export interface LoopAround {
  /** The name of its header. */
  readonly header: number;
  /** Of its code in the program's module. */
  readonly byteLength: number;
}

export class Places {
  readonly #module: Module;
  readonly #graph: CallGraph;
  /** By function; the least recently used first. */
  readonly #analyses = new Map<number, FunctionAnalysis>();
  /** Of the bodies of these functions. */
  #analysedBytes = 0;
  readonly #known = new Map<number, Place | undefined>();

  constructor(module: Module, graph: CallGraph) {
    this.#module = module;
    this.#graph = graph;
  }

  /** The shape of a frame that was left at a place; undefined when this module has no such place. */
  find(name: number): Place | undefined {
    if (!this.#known.has(name)) this.#known.set(name, this.#find(name));
    return this.#known.get(name);
  }

  #find(name: number): Place | undefined {
    if (name >= HOST_CALL) {
      const functionIndex = name & INDEX_MASK;
      if (functionIndex >= this.#module.importedFunctionCount) return undefined;
      const { params, results } = typeOfFunction(this.#module, functionIndex);
      const values = name >= HOST_RETURN ? results : params;
      return {
        functionIndex,
        byteLength: savedByteLengthOf(values),
        values,
        results,
        calleeResults: undefined,
        recrossed: name < HOST_RETURN,
        loops: [],
      };
    }
    const found = this.#findSite(name);
    if (found === undefined) return undefined;
    const { site, analysis } = found;
    const { functionIndex, type } = analysis;
    const values = localsOf(frameLayout(analysis, site)).map((local) => analysis.typeOfLocal(local));
    return {
      ...{ functionIndex, byteLength: savedByteLengthOf(values), values, results: type.results },
      calleeResults: site.kind === SiteKind.call ? this.#calleeResults(analysis, site.instruction) : undefined,
      recrossed: false,
      loops: loopsAround(analysis, site.instruction),
    };
  }

  #calleeResults({ opcodes, operands }: FunctionAnalysis, instruction: number): readonly ValueType[] {
    const operand = operands[instruction] as number;
    const typeIndex = opcodes[instruction] === Op.call ? (this.#module.functionTypes[operand] as number) : operand;
    return this.#module.types[typeIndex]?.results ?? [];
  }

  /** Analyses the function that holds a site, and finds the site. */
  #findSite(offset: number): FoundSite | undefined {
    const functionIndex = functionAtByte(this.#module, offset);
    if (functionIndex === undefined || this.#graph.mayUnwind[functionIndex] !== 1) return undefined;
    const analysis = this.#analysisOf(functionIndex);
    const site = analysis.sites.find((each) => each.offset === offset);
    return site && { site, analysis };
  }

  #analysisOf(functionIndex: number): FunctionAnalysis {
    let analysis = this.#analyses.get(functionIndex);
    if (analysis === undefined) {
      this.#analysedBytes += bodyByteLength(this.#module, functionIndex);
      analysis = this.#makeRoom() ?? new FunctionAnalysis(this.#module, this.#graph);
      analysis.analyze(functionIndex);
    } else this.#analyses.delete(functionIndex);
    this.#analyses.set(functionIndex, analysis);
    return analysis;
  }

  /** What was dropped last for it, to be used again. */
  #makeRoom(): FunctionAnalysis | undefined {
    let dropped: FunctionAnalysis | undefined;
    for (const [functionIndex, analysis] of this.#analyses) {
      if (this.#analysedBytes <= MOST_ANALYSED_BYTES) break;
      this.#analyses.delete(functionIndex);
      this.#analysedBytes -= bodyByteLength(this.#module, functionIndex);
      dropped = analysis;
    }
    return dropped;
  }

  /** Of a place in guest code. The analysis is that of its function until some other places have been asked for. */
  siteOf(name: number): FoundSite {
    const found = this.#findSite(name);
    if (found === undefined) throw new Error(`no site ${name}`);
    return found;
  }
}

/** One that begins at the instruction is among them. */
function loopsAround(analysis: FunctionAnalysis, instruction: number): LoopAround[] {
  const { opcodes, partners, positions, dead } = analysis;
  const loops: LoopAround[] = [];
  for (let i = 0; i <= instruction; i++) {
    const end = partners[i] as number;
    if (opcodes[i] !== Op.loop || dead[i] === 1 || end <= instruction) continue;
    const byteLength = (positions[end] as number) - (positions[i] as number);
    loops.push({ header: headerOf(analysis, i).offset, byteLength });
  }
  return loops;
}

interface FoundSite {
  readonly site: Site;
  readonly analysis: FunctionAnalysis;
}

/**
 * The frames of a stack go to and fro between some functions, and to analyse an interpreter's largest takes milliseconds. An
 * analysis takes some twenty times as many bytes as its function.
 */
const MOST_ANALYSED_BYTES = 1 << 20;
