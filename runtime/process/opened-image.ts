/**
 * Which image a prepared guest gets: the one that is there, when it can go on, or a new one.
 *
 * No state is ever thrown away that could still be resumed, unless the caller says so (`ifUnfinished: "replace"`). What
 * is over (finished, trapped) or lost anyway (killed before its first save) makes room for a clean start. The module is
 * loaded, and so refused if it cannot run, before anything on the disk is touched.
 */
import { VermilionError } from "../../pmem/error.js";
import { type Command, sameCommand } from "./command.js";
import { newProcessIdentity, parseCommand } from "./command-record.js";
import { grantsOf, recordGrant } from "./grants.js";
import { checkStack } from "./guest-preparation.js";
import { contentHash } from "./image/content-hash.js";
import { Image } from "./image/image.js";
import { type ImageReading, isResumable, type KnownModule } from "./image/reading.js";
import type { ImageState } from "./image/state-file.js";
import type { ImageStorage } from "./image/storage.js";
import { hasLog } from "./log/files.js";
import { OpenedLog } from "./log/opened-log.js";
import { readModuleFile } from "./module-file.js";
import { frameCountOf, logNumberOf } from "./process-state.js";
import { INSTRUMENTER_VERSION, type Program } from "./program.js";
import type { PrepareOrder } from "./protocol.js";
import { readModuleAhead } from "./read-ahead.js";

export interface OpenedImage {
  readonly image: Image;
  readonly program: Program;
  readonly command: Command;
  /** Undefined: a clean start. */
  readonly state: ImageState | undefined;
  /** What the process did after that before it was killed; undefined: nobody knows, or nothing. */
  readonly log: OpenedLog | undefined;
}

/** Closes an image whose guest has not begun, and removes it if it was made for that guest. */
export function abandonImage({ image, state, log }: Pick<OpenedImage, "image" | "state" | "log">): void {
  image.close();
  if (state === undefined && log === undefined) Image.remove(image.path);
}

interface Helpers {
  /**
   * Loads a program and refuses what cannot run here. `path` is for messages; `command`: of a clean start. It may take seconds, in
   * which the thread may be ended as it stands (C6 in control-block.ts): nothing may be open that would then stay so.
   */
  readonly load: (bytes: Uint8Array, path: string, command: Command | undefined) => Program;
  /** What is soon loaded, with an image open. */
  readonly loadAtHand: (bytes: Uint8Array, path: string) => Program;
  readonly isAtHand: (bytes: Uint8Array) => boolean;
  readonly notice: (message: string) => void;
  /** What stands between the image and its directory; undefined: nothing. */
  readonly storage: ((directory: ImageStorage) => ImageStorage) | undefined;
  /** An image is about to be made, in place of what is there; throws if that is not wanted or not possible any more. */
  readonly creating: (command: Command, path: string) => void;
}

/** StackTooShort: a thread with a longer stack must do it. */
export function openImage(order: PrepareOrder, helpers: Helpers): OpenedImage {
  return order.kind === "open" ? openSaved(order, helpers) : createOrResume(order, helpers);
}

type CreateOrder = Extract<PrepareOrder, { kind: "create" }>;
type OpenOrder = Extract<PrepareOrder, { kind: "open" }>;

/** IMAGE_NOT_SAVED, IMAGE_INTERRUPTED: there is nothing to resume. */
function openSaved(order: OpenOrder, helpers: Helpers): OpenedImage {
  const { notice, storage } = helpers;
  const { image: path, at, preopens, listen, follow } = order;
  const module = order.ahead ?? readModuleAhead(path);
  const loaded = loadedBefore(path, module, helpers);
  const options = { instrumenterVersion: INSTRUMENTER_VERSION, at, module, ...(storage && { storage }) };
  const image = follow === true ? openToFollow(path) : Image.open(path, options);
  let log: OpenedLog | undefined;
  try {
    const { state, ...found } =
      at === undefined
        ? follow === true
          ? lastRun(image)
          : (wayOn(image, order.replay, notice) ?? { state: image.readState(), log: undefined })
        : { state: image.readState(), log: undefined };
    log = found.log;
    if (state !== undefined) checkStack(frameCountOf(state, path));
    const recorded = parseCommand(image.command, path);
    const command = { ...recorded, ...grantsOf(recorded, image, { preopens, listen }) };
    return { image, program: loaded(image), command, state, log };
  } catch (error) {
    log?.close();
    image.close();
    throw error;
  }
}

/** The program of an image that is about to be opened; instrumented before, if that is to be done, and `module` is its module. */
function loadedBefore(
  path: string,
  module: KnownModule | undefined,
  { load, loadAtHand, isAtHand }: Helpers,
): (image: Image) => Program {
  const isNew = module !== undefined && !isAtHand(module.module) && moduleHashOf(path) === module.hash;
  const program = isNew ? load(module.module, path, undefined) : undefined;
  return ({ header, moduleBytes }) =>
    program !== undefined && header.moduleSha256 === module?.hash ? program : loadAtHand(moduleBytes, path);
}

/** Undefined: whoever opens it will say why. */
function moduleHashOf(path: string): string | undefined {
  try {
    return Image.read(path).header.moduleSha256;
  } catch {
    return undefined;
  }
}

function createOrResume(order: CreateOrder, helpers: Helpers): OpenedImage {
  const { command, image: path, ifUnfinished } = order;
  const moduleBytes = order.moduleBytes ?? order.ahead?.module ?? readModuleFile(command.module);
  if (ifUnfinished !== "replace" && hasUnfinished(order, helpers)) {
    if (ifUnfinished === "fail") {
      throw new VermilionError(
        "IMAGE_EXISTS",
        `${path}: a saved process is there already; resume it, or name another image`,
      );
    }
    const resumed = resumeSame(order, moduleBytes, helpers);
    if (resumed !== undefined) return resumed;
    helpers.notice(lostText(path));
  }
  const program = helpers.load(moduleBytes, command.module, command);
  helpers.creating(command, path);
  Image.remove(path);
  const image = Image.create(path, {
    moduleBytes,
    moduleCopy: program.durableCopy(),
    command: { ...recordGrant(command, moduleBytes), process: newProcessIdentity() },
    instrumenterVersion: INSTRUMENTER_VERSION,
    inPlace: order.inPlace,
    ...(helpers.storage && { storage: helpers.storage }),
  });
  return { image, program, command, state: undefined, log: undefined };
}

/**
 * False also for an image that cannot go on and may be replaced. IMAGE_DAMAGED, IMAGE_INCOMPLETE: it might have been resumable.
 * INSTANCE_OVER: what an instance has gathered in its calls is never begun again without being asked.
 */
function hasUnfinished({ image: path, command, replay }: CreateOrder, { notice }: Helpers): boolean {
  const { instance } = command;
  let reading: ImageReading;
  try {
    reading = Image.read(path);
  } catch (error) {
    const code = error instanceof VermilionError ? error.code : undefined;
    if (code === "IMAGE_MISSING") return false;
    if (code === "IMAGE_INCOMPLETE" && !Image.hasLostHeader(path)) {
      notice(
        `${path}: it was never completed (a start, fork or pull that was cut short?); starting from the beginning`,
      );
      return false;
    }
    throw error;
  }
  if (isResumable(reading.header)) return true;
  const { status, epoch } = reading.header;
  if (replay && isFirstRun(reading.header) && hasLog(path, 0)) return true;
  if (status === "running") {
    Image.open(path, { instrumenterVersion: INSTRUMENTER_VERSION }).close(); // IMAGE_BUSY; IMAGE_DAMAGED: the other slot
  }
  if (instance && epoch > 0) {
    const how = status === "running" ? "was killed during a call" : `has ${status} in a call`;
    throw new VermilionError("INSTANCE_OVER", `${path}: the instance ${how}; instantiate it again with --fresh`);
  }
  if (status === "running") {
    notice(lostText(path));
  }
  return false;
}

function lostText(path: string): string {
  return (
    `${path}: the last run left neither a state nor a log (was it killed before the program began, or without --log?); ` +
    "starting from the beginning"
  );
}

/** At its last epoch, whatever became of the run that went on from there. */
function openToFollow(path: string): Image {
  const { epoch } = Image.read(path).header;
  const options = { instrumenterVersion: INSTRUMENTER_VERSION, follow: true };
  return Image.open(path, epoch === 0 ? options : { ...options, at: epoch });
}

/** LOG_MISSING */
function lastRun(image: Image): Pick<OpenedImage, "state" | "log"> {
  const { path, header } = image;
  const state = header.epoch === 0 ? undefined : image.readState();
  const number = logNumberOf(state, path);
  const log = hasLog(path, number) ? OpenedLog.open(path, number) : undefined;
  if (log !== undefined) return { state, log };
  throw new VermilionError(
    "LOG_MISSING",
    header.status === "finished"
      ? `${path}: its program has finished, and no log is kept of that; a program that was killed, or trapped, can be followed`
      : `${path}: there is no log of host calls since epoch ${header.epoch}; run the program with --log`,
  );
}

/** Killed before its first persistence point, and not in place: its log, if it has one, begins at the beginning. */
function isFirstRun({ status, epoch, inPlace }: Image["header"]): boolean {
  return status === "running" && epoch === 0 && !inPlace;
}

/** What the guest goes on from, and by which log; says so when that is not where it was last. Undefined: there is nothing. */
function wayOn(
  image: Image,
  replay: boolean,
  notice: Helpers["notice"],
): Pick<OpenedImage, "state" | "log"> | undefined {
  const { path, header } = image;
  const { status, epoch } = header;
  if (isFirstRun(header) && replay && hasLog(path, 0)) {
    const log = OpenedLog.open(path, 0);
    return log && { state: undefined, log };
  }
  const state = image.readState();
  if (status !== "running") return { state, log: undefined };
  const number = logNumberOf(state, path);
  const log = replay && hasLog(path, number) ? OpenedLog.open(path, number) : undefined;
  if (log === undefined) {
    notice(`${path}: the last run was killed; going on from epoch ${epoch}: its output since may come again`);
  }
  return { state, log };
}

/**
 * Goes on, if the image holds the very program and command that are asked for. Undefined: a power cut has left nothing of
 * the log without which the image has nothing to go on from.
 */
function resumeSame(order: CreateOrder, moduleBytes: Uint8Array, helpers: Helpers): OpenedImage | undefined {
  const { image: path, command, replay } = order;
  const { storage } = helpers;
  const hash = contentHash(moduleBytes);
  const loaded = loadedBefore(path, { module: moduleBytes, hash }, helpers);
  const image = Image.open(path, { instrumenterVersion: INSTRUMENTER_VERSION, ...(storage && { storage }) });
  let log: OpenedLog | undefined;
  try {
    const found = wayOn(image, replay, helpers.notice);
    if (found === undefined) {
      image.close();
      return undefined;
    }
    const { state } = found;
    log = found.log;
    if (state !== undefined) checkStack(frameCountOf(state, path));
    if (!sameCommand(parseCommand(image.command, path), command)) {
      throw new VermilionError(
        "COMMAND_CHANGED",
        `${path}: the saved process has another module path, arguments, environment or directories; ` +
          "go on with it as it is (vermilion resume), start over (--fresh), or name another image",
      );
    }
    if (hash !== image.header.moduleSha256) {
      throw new VermilionError(
        "MODULE_CHANGED",
        `${command.module}: the file has changed since its process was saved in ${path}; ` +
          "go on with the old program (vermilion resume), or start over with the new one (--fresh)",
      );
    }
    return { image, program: loaded(image), command, state, log };
  } catch (error) {
    log?.close();
    image.close();
    throw error;
  }
}
