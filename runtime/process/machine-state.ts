/**
 * What a machine saves besides memory: its stacks, mutable globals, tables, and which segments are dropped.
 * Format: docs/image-format.md#state-file
 *
 * All but the stacks is restored here. Together with memory it is in place before any guest code runs (M1 in machine.ts).
 */
import { ValueType } from "../wasm/value-types.js";
import type { MachineState } from "./image/state-file.js";
import { type MachineInstance, stateDamaged } from "./machine-instance.js";
import { countFrames, encodeStacks, RECORD_TRAILER, type Stacks } from "./stacks.js";

type InstanceState = Omit<MachineState, "stacks">;

/** Segments that the guest has dropped. */
export class DroppedSegments {
  readonly #dropped = new Map<string, readonly [sub: number, segment: number]>();

  add(sub: number, segment: number): void {
    this.#dropped.set(`${sub}:${segment}:0`, [sub, segment]);
  }

  /** Pairs of u32: the instruction (0xfc space) that drops, and the segment. */
  get bytes(): Uint8Array {
    return new Uint8Array(Uint32Array.from([...this.#dropped.values()].flat()).buffer);
  }
}

export interface SavedMachine {
  readonly state: MachineState;
  /** In all stacks. */
  readonly frames: number;
}

/** @throws VermilionError CANNOT_SAVE when the guest holds what no image can. */
export function saveMachine(instance: MachineInstance, dropped: DroppedSegments, stacks: Stacks): SavedMachine {
  let state: MachineState;
  try {
    state = { ...saveInstance(instance, dropped), stacks: encodeStacks(stacks) };
  } catch (error) {
    throw instance.isLeaving(error) ? instance.leaving : error;
  }
  return { state, frames: stacks.tasks.reduce((sum, task) => sum + countFrames(task.frames), 0) };
}

/** Behind the frames, whose records are still in the frame stack, and stay there. */
function saveInstance(instance: MachineInstance, dropped: DroppedSegments): InstanceState {
  const from = instance.savedByteLength;
  instance.callHelper("saveGlobals");
  const globals = instance.saved(from);
  instance.forgetSaved(from);
  return { globals, tables: saveTables(instance), segments: dropped.bytes };
}

/** @throws VermilionError IMAGE_DAMAGED when the state does not fit the program. */
export function restoreInstance(instance: MachineInstance, { globals, tables, segments }: InstanceState): void {
  instance.callHelper("dropActiveData");
  dropSegments(instance, segments);
  restoreTables(instance, tables);
  restoreGlobals(instance, globals);
}

/** Tables as u32: for each its length, then an index per entry (all ones: null). Empty when code changes none. */
function saveTables(instance: MachineInstance): Uint8Array {
  const { module, graph } = instance.program;
  if (!graph.features.changesTables) return new Uint8Array(0);
  const words: number[] = [];
  module.tables.forEach(({ element }, index) => {
    const table = instance.table(index);
    words.push(table.length);
    for (let i = 0; i < table.length; i++) {
      const entry: unknown = table.get(i);
      if (element !== ValueType.funcref && entry !== null) instance.refuse("externref");
      words.push(element === ValueType.funcref ? instance.functionIndex(entry) : -1);
    }
  });
  return new Uint8Array(Uint32Array.from(words).buffer);
}

function restoreTables(instance: MachineInstance, bytes: Uint8Array): void {
  const { module, graph } = instance.program;
  if (!graph.features.changesTables) return;
  const words = toWords(bytes);
  let at = 0;
  module.tables.forEach((_, index) => {
    const table = instance.table(index);
    const length = words[at++] ?? 0;
    if (at + length > words.length) stateDamaged("the tables are cut off");
    try {
      if (length > table.length) table.grow(length - table.length);
    } catch (cause) {
      stateDamaged(`table ${index} cannot have ${length} entries (${(cause as Error).message})`);
    }
    for (let i = 0; i < length; i++) table.set(i, instance.functionAt(words[at++] as number));
  });
}

/** Globals are loaded from the frame stack, as one record; it is empty again afterwards (M2 in machine.ts). */
function restoreGlobals(instance: MachineInstance, bytes: Uint8Array): void {
  const { globals } = instance.program.module;
  const expected = globals.reduce((sum, { type, mutable }) => sum + (mutable ? byteLengthOf(type) : 0), 0);
  if (bytes.length !== expected) stateDamaged(`globals take ${expected} bytes, the image has ${bytes.length}`);
  const record = new Uint8Array(bytes.length + RECORD_TRAILER);
  record.set(bytes);
  new DataView(record.buffer).setUint32(bytes.length, bytes.length, true);
  instance.placeRecords(record);
  instance.nextRecord();
  instance.callHelper("loadGlobals");
}

function dropSegments(instance: MachineInstance, bytes: Uint8Array): void {
  const { graph } = instance.program;
  const words = toWords(bytes);
  for (let i = 0; i + 1 < words.length; i += 2) {
    const key = `${words[i]}:${words[i + 1]}:0`;
    if (!graph.features.segmentOperations.has(key)) stateDamaged(`segment ${key} cannot be dropped`);
    instance.functionAt(instance.program.helperIndex(`segment:${key}`))?.();
  }
}

function toWords(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(new Uint8Array(bytes).buffer, 0, bytes.length >> 2);
}

function byteLengthOf(type: number): number {
  if (type === ValueType.v128) return 16;
  return type === ValueType.i64 || type === ValueType.f64 ? 8 : 4;
}
