/**
 * Which calls can unwind, and which functions need a safepoint at their entry.
 *
 * Every cycle of the program must cross a safepoint. Loops have one at their header; a cycle of calls gets one at the
 * entry of a function, unless each turn passes a loop anyway (a call inside a loop crosses the header first). A call
 * can unwind when a safepoint is reachable from it: imports (host calls are safepoints), functions with loops or entry
 * safepoints, and what calls those. Calls through tables go by type: a node for each type, with an edge to every
 * function of that type whose reference is taken anywhere in the module.
 *
 * Edges are those of body-scanner.ts, in flat typed arrays.
 */
import { canonicalTypes, ExternalKind, type Module } from "../wasm/module.js";
import { BodyScanner, type CodeFeatures } from "./body-scanner.js";
import { findEntrySafepoints } from "./entry-safepoints.js";

export interface CallGraph {
  /** By function index: 1 when a call of it can unwind. */
  readonly mayUnwind: Uint8Array;
  /** By canonical type index: 1 when an indirect call of that type can unwind. */
  readonly typeMayUnwind: Uint8Array;
  /** By function index: 1 when it has a safepoint at its entry. */
  readonly entrySafepoint: Uint8Array;
  /** The first type index of an equal type, by type index. */
  readonly canonicalType: Uint32Array;
  /** By function index: 1 when instructions of it are replaced (memory.grow, data.drop, elem.drop). */
  readonly replacesInstructions: Uint8Array;
  readonly features: CodeFeatures;
}

/** Functions by canonical type whose reference is taken: by an element segment, a constant, ref.func or an export. */
function addressTaken(module: Module, canonicalType: Uint32Array, referenced: readonly number[]): number[][] {
  const byType: number[][] = module.types.map(() => []);
  const taken = new Set<number>([...referenced, ...module.referencedFunctions]);
  for (const segment of module.elements) for (const index of segment.functions) taken.add(index);
  for (const { kind, index } of module.exports) if (kind === ExternalKind.function) taken.add(index);
  for (const index of taken) {
    const type = canonicalType[module.functionTypes[index] as number] as number;
    (byType[type] as number[]).push(index);
  }
  return byType;
}

export function buildCallGraph(module: Module): CallGraph {
  const functionCount = module.functionTypes.length;
  const imported = module.importedFunctionCount;
  const canonicalType = canonicalTypes(module);
  const scanner = new BodyScanner(module, canonicalType);
  const firstEdge = new Int32Array(functionCount + 1);
  const hasLoop = new Uint8Array(functionCount);
  const replacesInstructions = new Uint8Array(functionCount);
  for (let index = imported; index < functionCount; index++) {
    firstEdge[index] = scanner.edges.length;
    const body = 2 * (index - imported);
    hasLoop[index] = scanner.scan(module.bodies[body] as number, module.bodies[body + 1] as number) ? 1 : 0;
    replacesInstructions[index] = scanner.replaces ? 1 : 0;
  }
  firstEdge[functionCount] = scanner.edges.length;
  for (let index = 0; index < imported; index++) firstEdge[index] = 0;
  const edges = scanner.edges.values.subarray(0, scanner.edges.length);
  const taken = addressTaken(module, canonicalType, scanner.referenced);
  const entrySafepoint = findEntrySafepoints({ module, edges, firstEdge, taken });
  const reaches = propagate(module, edges, firstEdge, taken, hasLoop, entrySafepoint);
  return {
    mayUnwind: reaches.subarray(0, functionCount),
    typeMayUnwind: reaches.subarray(functionCount),
    entrySafepoint,
    canonicalType,
    replacesInstructions,
    features: scanner.features,
  };
}

/** Marks every node from which a safepoint is reachable, by walking the reversed edges. */
function propagate(
  module: Module,
  edges: Int32Array,
  firstEdge: Int32Array,
  taken: readonly (readonly number[])[],
  hasLoop: Uint8Array,
  entrySafepoint: Uint8Array,
): Uint8Array {
  const functionCount = module.functionTypes.length;
  const imported = module.importedFunctionCount;
  const nodeCount = functionCount + module.types.length;
  const firstCaller = new Int32Array(nodeCount + 1);
  for (const edge of edges) {
    const node = (edge >> 1) + 1;
    firstCaller[node] = (firstCaller[node] as number) + 1;
  }
  for (let node = 1; node <= nodeCount; node++) {
    firstCaller[node] = (firstCaller[node] as number) + (firstCaller[node - 1] as number);
  }
  const callers = new Int32Array(edges.length);
  const fill = firstCaller.slice();
  for (let index = imported; index < functionCount; index++) {
    for (let i = firstEdge[index] as number; i < (firstEdge[index + 1] as number); i++) {
      const target = (edges[i] as number) >> 1;
      const at = fill[target] as number;
      callers[at] = index;
      fill[target] = at + 1;
    }
  }
  const typesOf = new Map<number, number[]>();
  taken.forEach((functions, type) => {
    for (const index of functions) typesOf.set(index, [...(typesOf.get(index) ?? []), functionCount + type]);
  });
  const reaches = new Uint8Array(nodeCount);
  const queue = new Int32Array(nodeCount);
  let queued = 0;
  const mark = (node: number): void => {
    if (reaches[node] === 1) return;
    reaches[node] = 1;
    queue[queued++] = node;
  };
  for (let index = 0; index < functionCount; index++) {
    if (index < imported || hasLoop[index] === 1 || entrySafepoint[index] === 1) mark(index);
  }
  while (queued > 0) {
    const node = queue[--queued] as number;
    for (let i = firstCaller[node] as number; i < (firstCaller[node + 1] as number); i++) mark(callers[i] as number);
    if (node < functionCount) for (const type of typesOf.get(node) ?? []) mark(type);
  }
  return reaches;
}
