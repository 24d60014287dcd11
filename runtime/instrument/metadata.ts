/** The call graph as bytes, in a custom section of the instrumented module: a resume needs it, and making it costs. */
import { ByteReader } from "../wasm/byte-reader.js";
import { canonicalTypes, type Module, SectionId } from "../wasm/module.js";
import { sectionsOf } from "../wasm/sections.js";
import type { CallGraph } from "./call-graph.js";
import { METADATA_SECTION } from "./instrument.js";

/** Bumped by any change of frames, sites or safepoint counts: an image names the version that its frames are for. */
export const INSTRUMENTER_VERSION = 3;
/** Bumped by any change of the code that is made: cached forms of another version are not used. */
export const CODE_VERSION = 9;

function pack(flags: Uint8Array): string {
  const packed = new Uint8Array((flags.length + 7) >> 3);
  flags.forEach((flag, i) => {
    if (flag === 1) packed[i >> 3] = (packed[i >> 3] as number) | (1 << (i & 7));
  });
  return Buffer.from(packed).toString("base64");
}

function unpack(text: string, length: number): Uint8Array {
  const packed = Buffer.from(text, "base64");
  const flags = new Uint8Array(length);
  for (let i = 0; i < length; i++) flags[i] = ((packed[i >> 3] ?? 0) >> (i & 7)) & 1;
  return flags;
}

interface Metadata {
  readonly mayUnwind: string;
  readonly typeMayUnwind: string;
  readonly entrySafepoint: string;
  readonly replacesInstructions: string;
  readonly features: {
    readonly legacyExceptions: boolean;
    readonly exnref: boolean;
    readonly tailCalls: boolean;
    readonly changesTables: boolean;
    readonly memoryGrow: readonly number[];
    readonly atomics: boolean;
    readonly largestOffset: number;
    readonly segmentOperations: readonly string[];
  };
}

export function encodeMetadata(graph: CallGraph): Uint8Array {
  const { features } = graph;
  const metadata: Metadata = {
    mayUnwind: pack(graph.mayUnwind),
    typeMayUnwind: pack(graph.typeMayUnwind),
    entrySafepoint: pack(graph.entrySafepoint),
    replacesInstructions: pack(graph.replacesInstructions),
    features: {
      ...features,
      memoryGrow: [...features.memoryGrow],
      segmentOperations: [...features.segmentOperations],
    },
  };
  return new TextEncoder().encode(JSON.stringify(metadata));
}

export function decodeMetadata(module: Module, bytes: Uint8Array): CallGraph {
  const metadata = JSON.parse(new TextDecoder().decode(bytes)) as Metadata;
  const functionCount = module.functionTypes.length;
  return {
    mayUnwind: unpack(metadata.mayUnwind, functionCount),
    typeMayUnwind: unpack(metadata.typeMayUnwind, module.types.length),
    entrySafepoint: unpack(metadata.entrySafepoint, functionCount),
    replacesInstructions: unpack(metadata.replacesInstructions, functionCount),
    canonicalType: canonicalTypes(module),
    features: {
      ...metadata.features,
      memoryGrow: new Set(metadata.features.memoryGrow),
      segmentOperations: new Set(metadata.features.segmentOperations),
    },
  };
}

/** The metadata of an instrumented module, or undefined when it has none. */
export function readMetadata(instrumented: Uint8Array): Uint8Array | undefined {
  for (const { id, from, to } of sectionsOf(instrumented)) {
    if (id !== SectionId.custom) continue;
    const reader = new ByteReader(instrumented, from);
    if (reader.name() === METADATA_SECTION) return instrumented.subarray(reader.position, to);
  }
  return undefined;
}
