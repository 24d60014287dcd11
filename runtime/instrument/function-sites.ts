/**
 * Where the sites of the instrumented module stand: for the engine's stack traces of a guest that has not been stopped.
 *
 * A function is written once more to find out, when it is first seen in a trace. Types that the instrumenter added may have
 * other numbers then; where that makes an index a byte longer, a place is taken for its neighbour. So what is said here is a
 * good guess, for whoever would only lose time by a wrong one.
 */
import { ByteReader } from "../wasm/byte-reader.js";
import { ByteWriter } from "../wasm/byte-writer.js";
import { type Module, SectionId } from "../wasm/module.js";
import { sectionsOf } from "../wasm/sections.js";
import { BodyWriter } from "./body-writer.js";
import type { CallGraph } from "./call-graph.js";
import type { Form } from "./code-target.js";
import { FunctionAnalysis } from "./function-analysis.js";
import { Appendix } from "./helpers.js";
import { mainTarget } from "./instrument.js";
import { PositionMap } from "./position-map.js";
import { TypeTable } from "./type-table.js";

/** Byte offsets of the function bodies of a valid module, in order, and of the end of the last. */
export function bodyOffsets(bytes: Uint8Array): Uint32Array {
  for (const { id, from } of sectionsOf(bytes)) {
    if (id !== SectionId.code) continue;
    const reader = new ByteReader(bytes, from);
    const count = reader.u32();
    const offsets = new Uint32Array(count + 1);
    for (let body = 0; body < count; body++) {
      const bodyByteLength = reader.u32();
      offsets[body] = reader.position;
      reader.skip(bodyByteLength);
    }
    offsets[count] = reader.position;
    return offsets;
  }
  return new Uint32Array(1);
}

export class FunctionSites {
  readonly #module: Module;
  readonly #graph: CallGraph;
  readonly #form: Form;
  /** Of the instrumented module. */
  readonly #bodies: Uint32Array;
  readonly #analysis: FunctionAnalysis;
  readonly #known = new Map<number, PositionMap | undefined>();

  constructor(module: Module, graph: CallGraph, form: Form, bodies: Uint32Array) {
    this.#module = module;
    this.#graph = graph;
    this.#form = form;
    this.#bodies = bodies;
    this.#analysis = new FunctionAnalysis(module, graph);
  }

  /** The name of the site at an offset in the instrumented module; undefined: there is none. */
  find(functionIndex: number, offset: number): number | undefined {
    const body = functionIndex - this.#module.importedFunctionCount;
    const [from, to] = [this.#bodies[body], this.#bodies[body + 1]];
    if (from === undefined || to === undefined || offset < from || offset >= to) return undefined;
    if (!this.#known.has(functionIndex)) this.#known.set(functionIndex, this.#write(functionIndex));
    return this.#known.get(functionIndex)?.originOf(offset - from);
  }

  #write(functionIndex: number): PositionMap | undefined {
    if (this.#graph.mayUnwind[functionIndex] !== 1) return undefined; // also of the instrumenter's own functions
    const types = new TypeTable(this.#module.types);
    const { mode, tracking } = this.#form;
    const appendix = new Appendix(this.#module, this.#graph.features, types, tracking);
    const sites = new PositionMap();
    const out = new ByteWriter(1 << 12);
    const target = { ...mainTarget(this.#module, this.#graph, appendix, this.#form), sites };
    this.#analysis.analyze(functionIndex);
    new BodyWriter(this.#analysis, target, types, mode, out).writeFunction();
    sites.moduleBegin = SIZE_BYTE_LENGTH;
    return sites;
  }
}

/** In front of a body that was written. */
const SIZE_BYTE_LENGTH = 5;
