/**
 * Whether an image is whole: every checksum, and everything that one file says of another. What is damaged is told and left
 * as it is, unless it is to be repaired.
 *
 * R1  A repair first makes the header name a good epoch, durably, and only then removes files that are damaged.
 */
import { VermilionError } from "../../../pmem/error.js";
import { imageError } from "./damage.js";
import { keptEpochs, pinnedEpochs } from "./epochs.js";
import { encodeSlot, type ImageHeader, SLOT_BYTE_LENGTH } from "./header.js";
import { OPEN_FILES_NAME } from "./image-directory.js";
import { HEADER_NAME, pinName, stateName, TRAP_NAME } from "./names.js";
import { PageChecks } from "./page-checks.js";
import {
  checkMemories,
  isResumable,
  readCurrent,
  readEpoch,
  readHeader,
  readModule,
  type SavedState,
} from "./reading.js";
import type { ImageState } from "./state-file.js";
import { type Held, holding, holdingToRead, type Wrap } from "./upkeep.js";

export interface Verification {
  /** Of those that are kept, ascending. */
  readonly epochs: readonly { readonly epoch: number; readonly problems: readonly string[] }[];
  /** With anything else: the header, the module, the memory of a trap. */
  readonly problems: readonly string[];
  /** What was done about it. */
  readonly repairs: readonly string[];
}

/** Logs belong to a layer above images. */
export interface LogChecks {
  /** Throws if the log that goes on from a state, or from the beginning, is damaged. */
  check(state: ImageState | undefined): void;
  remove(): void;
}

/**
 * With `repair`: goes back to the newest good epoch if the current one is damaged, and removes those that are.
 * Codes: IMAGE_BUSY; IMAGE_MISSING, IMAGE_INCOMPLETE, IMAGE_FOREIGN, IMAGE_VERSION; IMAGE_DAMAGED: the header leads to nothing;
 * UNREPAIRABLE: no epoch is whole, or the module is damaged; nothing was changed.
 */
export function verifyImage(path: string, repair = false, log?: LogChecks, wrap?: Wrap): Verification {
  const hold = repair ? holding : holdingToRead;
  return hold(path, wrap, (held) => {
    const { directory, header } = held;
    const logProblems = log === undefined ? [] : problemsOfLog(held, log);
    const traps = header.status === "trapped" && header.state !== undefined;
    const pages = new PageChecks(held.directory, held.storage);
    const epochs = keptEpochs(directory, header.highestEpoch).map((epoch) => ({
      epoch,
      problems: problemsOf(held, () => readEpoch(directory, header, epoch), pages),
    }));
    const trapProblems = traps ? problemsOf(held, () => readCurrent(directory, header), pages) : [];
    const problems = [
      ...(held.damage === undefined ? [] : [`header: ${held.damage}`]),
      ...thrownBy(() => readModule(directory, header)),
      ...missingEpoch(held),
      ...missingPinned(held),
      ...trapProblems,
      ...logProblems,
    ];
    const found = { epochs, problems };
    const repairs = repair ? repaired(held, epochs, trapProblems.length > 0) : [];
    if (repair && log !== undefined && logProblems.length > 0) repairs.push(withoutLog(held, log));
    return { ...found, repairs };
  });
}

/** Of the log by which a process that was killed goes on. */
function problemsOfLog({ directory, header }: Held, log: LogChecks): string[] {
  if (header.status !== "running" || header.inPlace) return [];
  let state: ImageState | undefined;
  try {
    state = header.state && readCurrent(directory, header).state;
  } catch {
    return []; // told of the epoch; it also names the log
  }
  return thrownBy(() => log.check(state));
}

/** UNREPAIRABLE: the log is all that there is. */
function withoutLog(held: Held, log: LogChecks): string {
  const { epoch, state } = readHeader(held.directory).header;
  if (state === undefined) throw unrepairable(held, "its log is damaged, and it has no epoch to go on from");
  log.remove();
  return `the damaged log is removed: the image goes on from epoch ${epoch}, and what came later may come again`;
}

function missingEpoch({ directory, header }: Held): string[] {
  if (!isResumable(header) || directory.statOf(stateName(header.epoch)) !== undefined) return [];
  return [`${directory.pathOf(stateName(header.epoch))}: the file of the current epoch is missing`];
}

/** Of others nobody can tell whether they were dropped. */
function missingPinned({ directory, header }: Held): string[] {
  const kept = new Set(keptEpochs(directory, header.highestEpoch));
  const missing = [...pinnedEpochs(directory)].filter((epoch) => epoch <= header.highestEpoch && !kept.has(epoch));
  return missing.map((epoch) => `${directory.pathOf(stateName(epoch))}: the file of a pinned epoch is missing`);
}

function problemsOf({ directory, header }: Held, read: () => SavedState, pages: PageChecks): string[] {
  let saved: SavedState;
  try {
    saved = read();
    checkMemories(directory, header.inPlace, saved);
  } catch (error) {
    return [problemOf(error)];
  }
  const missing = saved.record.keptFiles
    .map((name) => `${OPEN_FILES_NAME}/${name}`)
    .filter((name) => directory.statOf(name) === undefined)
    .map((name) => `${directory.pathOf(name)}: the file is missing`);
  return [...missing, ...pages.problemsOf(saved.maps)];
}

/** R1. */
function repaired(held: Held, epochs: Verification["epochs"], isTrapDamaged: boolean): string[] {
  const { directory, storage, header } = held;
  const repairs: string[] = [];
  const bad = epochs.filter((entry) => entry.problems.length > 0).map(({ epoch }) => epoch);
  const good = epochs.filter((entry) => entry.problems.length === 0).map(({ epoch }) => epoch);
  if (thrownBy(() => readModule(directory, header)).length > 0) throw unrepairable(held, "its module is damaged");
  const isCurrentLost = isResumable(header) && !good.includes(header.epoch);
  const newest = good.at(-1);
  if (isCurrentLost && newest === undefined) throw unrepairable(held, "none of its epochs is whole");
  if (isCurrentLost && newest !== undefined) {
    const { record, checksum } = readEpoch(directory, header, newest);
    const { memoryByteLengths } = record;
    writeSlots(held, { status: "saved", epoch: newest, state: { checksum }, memoryByteLengths, message: "" });
    repairs.push(`epoch ${header.epoch} is damaged: the image goes on from epoch ${newest}`);
  } else if (held.damage !== undefined) {
    writeSlots(held, {});
    repairs.push("the damaged slot of the header is written again");
  }
  for (const epoch of bad) {
    storage.remove(stateName(epoch));
    repairs.push(`epoch ${epoch} is removed`);
  }
  if (isTrapDamaged) {
    writeSlots(held, { state: undefined });
    storage.remove(TRAP_NAME);
    repairs.push("the memory of the trap is removed");
  }
  for (const epoch of pinnedEpochs(directory)) {
    if (good.includes(epoch)) continue;
    storage.remove(pinName(epoch));
    repairs.push(`epoch ${epoch} is no longer pinned`);
  }
  storage.syncDirectory();
  return repairs;
}

/** Both, one after the other, so that none of them is damaged any more. */
function writeSlots({ storage, header }: Held, changes: Partial<ImageHeader>): void {
  const file = storage.open(HEADER_NAME);
  try {
    for (const step of [1, 2]) {
      const next = { ...header, ...changes, sequence: header.sequence + step, writtenAt: Date.now() };
      file.write([encodeSlot(next)], SLOT_BYTE_LENGTH * (next.sequence % 2));
      file.sync();
    }
  } finally {
    file.close();
  }
}

function unrepairable({ directory }: Held, reason: string): VermilionError {
  return imageError("UNREPAIRABLE", directory.path, reason, "restore it from a copy, or start again with --fresh");
}

function thrownBy(read: () => unknown): string[] {
  try {
    read();
    return [];
  } catch (error) {
    return [problemOf(error)];
  }
}

/** Without the advice, which is for those who wanted to use the image. */
function problemOf(error: unknown): string {
  if (!(error instanceof VermilionError)) throw error;
  return error.message.replace(/;[^;]*$/, "");
}
