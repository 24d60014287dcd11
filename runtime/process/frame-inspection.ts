/** Saved frames as people read them: functions by name, places by offset. */
import { VermilionError } from "../../pmem/error.js";
import { HOST_CALL, HOST_RETURN } from "../instrument/places.js";
import { DebugLines } from "../wasm/debug-lines.js";
import { decodeModule } from "../wasm/decode.js";
import { ExternalKind, functionAtByte, type Module } from "../wasm/module.js";
import { readFunctionNames } from "../wasm/names.js";
import type { TrapRecord } from "./image/epoch-record.js";
import type { Task } from "./stacks.js";

export interface FrameInspection {
  /**
   * Which of the process's stacks: the program's own, its start function's, its initializer's, or that of the handler of
   * power failures.
   */
  readonly stack: "entry" | "start" | "initialize" | "callback";
  readonly functionIndex: number;
  /** From the name section or the imports; null: it has none. */
  readonly name: string | null;
  /** Of the instruction where it goes on, in bytes from the beginning of the module; null: inside a host call, or at a trap. */
  readonly offset: number | null;
  /** File and line of that instruction, as "list.c:42", from the module's debugging sections; null: it has none. */
  readonly source: string | null;
}

/** A frame on one line; `index` counts from the innermost. */
export function frameText({ stack, name, functionIndex, offset, source }: FrameInspection, index: number): string {
  const where = offset === null ? "host call" : (source ?? `at 0x${offset.toString(16)}`);
  const label = name ?? `function ${functionIndex}`;
  return `#${index} ${label} ${where}${stack === "entry" ? "" : ` (${stack})`}`;
}

/** `path` is what is named when the frames do not fit. IMAGE_DAMAGED. */
export function describeFrames(bytes: Uint8Array, tasks: readonly Task[], path: string): FrameInspection[] {
  const module = decodeModule(bytes);
  const lines = DebugLines.read(bytes);
  const nameOf = namesOf(module, bytes);
  return [...tasks].reverse().flatMap(({ kind: stack, frames }) =>
    placesOf(frames ?? new Uint8Array(0), path).map((place) => {
      const hostCall = place >= HOST_CALL;
      const functionIndex = hostCall ? hostFunction(place) : functionAt(module, place, path);
      return {
        stack,
        functionIndex,
        name: nameOf(functionIndex),
        offset: hostCall ? null : place,
        source: hostCall ? null : lines.at(place),
      };
    }),
  );
}

/** The engine tells of a trap's frames no more than which functions they are. */
export function describeTrap(bytes: Uint8Array, { frames }: TrapRecord): FrameInspection[] {
  const nameOf = namesOf(decodeModule(bytes), bytes);
  return frames.map(({ functionIndex }) => ({
    stack: "entry",
    functionIndex,
    name: nameOf(functionIndex),
    offset: null,
    source: null,
  }));
}

/** From the name section or the imports. */
function namesOf(module: Module, bytes: Uint8Array): (index: number) => string | null {
  const names = readFunctionNames(bytes);
  const imported = module.imports.filter(({ kind }) => kind === ExternalKind.function).map(({ name }) => name);
  return (index) => imported[index] ?? names.get(index) ?? null;
}

function hostFunction(place: number): number {
  return (place >= HOST_RETURN ? place - HOST_RETURN : place) & 0x1fffffff;
}

/** The places of a stack's records, innermost first; a record ends with its values' length and its place. */
function placesOf(records: Uint8Array, path: string): number[] {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  const places: number[] = [];
  for (let end = records.byteLength; end > 0; ) {
    if (end < 8) throw misfit(path, "a frame is cut off");
    places.push(view.getUint32(end - 4, true));
    end -= 8 + view.getUint32(end - 8, true);
    if (end < 0) throw misfit(path, "a frame is cut off");
  }
  return places.reverse();
}

function functionAt(module: Module, place: number, path: string): number {
  const index = functionAtByte(module, place);
  if (index === undefined) throw misfit(path, `no function of the module holds byte ${place}`);
  return index;
}

function misfit(path: string, reason: string): VermilionError {
  return new VermilionError("IMAGE_DAMAGED", `${path}: the saved stacks do not fit the module: ${reason}`);
}
