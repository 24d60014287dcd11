import type { FrameInspection } from "../process/frame-inspection.js";
import type { Program } from "../process/program.js";
import { DebugLines } from "../wasm/debug-lines.js";

/** How the engine names a frame of wasm: "name (wasm://wasm/module-1234:wasm-function[12]:0x345)". */
const FRAME = /(wasm:\/\/wasm\/[^:\s]*):wasm-function\[(\d+)\]:0x([0-9a-f]+)/g;
const DEEPEST = 100;

/** An activation as the engine tells it. */
export interface EngineFrame {
  readonly functionIndex: number;
  /** In the instrumented module. */
  readonly offset: number;
}

/** The guest's activations, innermost first: for a host function that the guest calls. */
export function guestStack(): EngineFrame[] {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = DEEPEST;
  const { stack = "" } = new Error();
  Error.stackTraceLimit = limit;
  const frames = [...stack.matchAll(FRAME)];
  const guest = frames.at(-1)?.[1]; // it called all others
  return frames
    .filter(([, module]) => module === guest)
    .map(([, , index, offset]) => ({ functionIndex: Number(index), offset: Number.parseInt(offset as string, 16) }));
}

/** Names and source lines for the stacks of one program. */
export class GuestStacks {
  readonly #program: Program;
  readonly #lines: DebugLines;

  constructor(program: Program) {
    this.#program = program;
    this.#lines = DebugLines.read(program.bytes);
  }

  describe(frames: readonly EngineFrame[]): FrameInspection[] {
    const { module, names, positions } = this.#program;
    return frames
      .filter(({ functionIndex }) => functionIndex < module.functionTypes.length) // our helpers come behind
      .map((frame) => {
        const offset = positions.originOf(frame.offset) ?? null;
        return {
          stack: "entry",
          functionIndex: frame.functionIndex,
          name: names.get(frame.functionIndex) ?? null,
          offset,
          source: offset === null ? null : this.#lines.at(offset),
        };
      });
  }
}
