/**
 * The places where frames can be left, by name, and what a saved frame of each looks like.
 *
 * A name is the byte offset of a site in the original module; with a high bit set, a host call by function index.
 */
import { functionAtByte, type Module, typeOfFunction } from "../wasm/module.js";
import { Op } from "../wasm/opcodes.js";
import type { ValueType } from "../wasm/value-types.js";
import type { CallGraph } from "./call-graph.js";
import { frameLayout, savedByteLength } from "./frame-layout.js";
import { FunctionAnalysis } from "./function-analysis.js";
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
  /** Whether what follows turns a loop: then it may take long. */
  readonly inLoop: boolean;
}

export class Places {
  readonly #module: Module;
  readonly #graph: CallGraph;
  readonly #analysis: FunctionAnalysis;
  readonly #known = new Map<number, Place | undefined>();
  /** The function that #analysis holds. */
  #analyzed = -1;

  constructor(module: Module, graph: CallGraph) {
    this.#module = module;
    this.#graph = graph;
    this.#analysis = new FunctionAnalysis(module, graph);
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
      const byteLength = values.reduce((sum, type) => sum + savedByteLength(type), 0);
      return {
        functionIndex,
        byteLength,
        values,
        results,
        calleeResults: undefined,
        recrossed: name < HOST_RETURN,
        inLoop: false,
      };
    }
    const site = this.#findSite(name);
    if (site === undefined) return undefined;
    const { functionIndex, type } = this.#analysis;
    const layout = frameLayout(this.#analysis, site);
    const values = [...layout.others, ...layout.words].map((local) => this.#analysis.typeOfLocal(local));
    return {
      ...{ functionIndex, byteLength: layout.byteLength, values, results: type.results },
      calleeResults: site.kind === SiteKind.call ? this.#calleeResults(site.instruction) : undefined,
      recrossed: false,
      inLoop: this.#isInLoop(site.instruction),
    };
  }

  #isInLoop(instruction: number): boolean {
    const { opcodes, partners } = this.#analysis;
    for (let i = 0; i <= instruction; i++) {
      if (opcodes[i] === Op.loop && (partners[i] as number) > instruction) return true;
    }
    return false;
  }

  #calleeResults(instruction: number): readonly ValueType[] {
    const { opcodes, operands } = this.#analysis;
    const operand = operands[instruction] as number;
    const typeIndex = opcodes[instruction] === Op.call ? (this.#module.functionTypes[operand] as number) : operand;
    return this.#module.types[typeIndex]?.results ?? [];
  }

  /** Analyses the function that holds a site and returns the site. */
  #findSite(offset: number): Site | undefined {
    const functionIndex = functionAtByte(this.#module, offset);
    if (functionIndex === undefined || this.#graph.mayUnwind[functionIndex] !== 1) return undefined;
    if (this.#analyzed !== functionIndex) this.#analysis.analyze(functionIndex);
    this.#analyzed = functionIndex;
    return this.#analysis.sites.find((site) => site.offset === offset);
  }

  /** Of a place in guest code. The analysis is that of its function until another place is asked for. */
  siteOf(name: number): { readonly site: Site; readonly analysis: FunctionAnalysis } {
    const site = this.#findSite(name);
    if (site === undefined) throw new Error(`no site ${name}`);
    return { site, analysis: this.#analysis };
  }
}
