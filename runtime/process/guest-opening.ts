/** What a guest is made of, as an order asks for it: program and image, and how the system interface is to be opened. */
import { Wasi, type WasiOptions } from "../wasi/index.js";
import type { Command } from "./command.js";
import type { ControlBlock } from "./control-block.js";
import { checkFirstMemory, interruptibly, limitsOf, naming, StartCancelled } from "./guest-preparation.js";
import type { HostFunctions } from "./host-functions.js";
import { Holdup } from "./image/holdup.js";
import { checkImports } from "./imports.js";
import { entryOf } from "./invocation.js";
import { keptFilesDirectory } from "./kept-files.js";
import { type OpenedImage, openImage } from "./opened-image.js";
import { type CompiledForm, Program, type ProgramOptions } from "./program.js";
import type { PrepareOrder, Report } from "./protocol.js";

/** Owned by the caller. */
export interface OpenedGuest {
  readonly opened: OpenedImage;
  readonly holdup: Holdup | undefined;
  readonly wasiOptions: WasiOptions;
  /** The program again, in the form that counts (G3 in guest-assembly.ts). */
  readonly loadCounting: () => Program;
}

export interface OpeningParts {
  readonly control: ControlBlock;
  readonly tell: (report: Report) => void;
  readonly hostFunctions: HostFunctions;
  /** Called before the first module of a guest is compiled. */
  readonly compiling: () => void;
  /** A form that is compiled already; whose it is, is not known. */
  readonly compiled?: CompiledForm | undefined;
}

/** Every error that a program, an image or a directory can cause; StartCancelled, StackTooShort. Then nothing is left open. */
export function openGuest(order: PrepareOrder, parts: OpeningParts): OpenedGuest {
  const { control, tell, hostFunctions, compiling, compiled } = parts;
  const notice = (message: string) => tell({ kind: "notice", message });
  const warn = once(notice);
  const programOptions = (command: Command | undefined, flags: boolean): ProgramOptions => ({
    cacheDirectory: order.cacheDirectory,
    exact: order.exact,
    flags,
    ahead: order.ahead,
    compiled,
    accept: (module) => {
      checkImports(module, hostFunctions);
      if (command?.instance === false) entryOf(module, command); // throws
      if (command !== undefined) checkFirstMemory(module, command);
    },
    onInstrument: (byteLength) => tell({ kind: "instrumenting", byteLength }),
  });
  const loadNow = (bytes: Uint8Array, path: string, command?: Command, flags = true): Program =>
    naming(path, () => Program.load(bytes, programOptions(command, flags)));
  const loadAtHand: typeof loadNow = (...program) => {
    compiling();
    return loadNow(...program);
  };
  const load = (bytes: Uint8Array, path: string, command: Command | undefined): Program => {
    compiling(); // which calls through the FFI
    return interruptibly(control, () => loadNow(bytes, path, command));
  };
  const isAtHand = (bytes: Uint8Array) => Program.isAtHand(bytes, programOptions(undefined, true));
  const wasiOptions = (command: Command, image: string): WasiOptions => ({
    args: command.args,
    env: command.env,
    preopens: command.preopens,
    listen: command.listen,
    ...limitsOf(command),
    stdio: order.stdio,
    keptFilesDirectory: keptFilesDirectory(image),
    onChangedFile: order.onChangedFile,
    warn,
  });
  const creating = (command: Command, image: string): void => {
    if (control.cancelled) throw new StartCancelled();
    // Tried before an older image makes room: a directory that cannot be opened must not cost it.
    Wasi.tryOut(wasiOptions(command, image));
  };
  const holdup = order.holdup && new Holdup(order.holdup);
  const opened = openImage(order, { load, loadAtHand, isAtHand, notice, creating, storage: holdup?.wrap });
  const { program, command, image } = opened;
  return {
    ...{ opened, holdup, wasiOptions: wasiOptions(command, image.path) },
    loadCounting: () => loadAtHand(program.bytes, command.module, command, false),
  };
}

/** Each point looks at the same open files. */
function once(notice: (message: string) => void): (message: string) => void {
  const told = new Set<string>();
  return (message) => {
    if (!told.has(message)) notice(message);
    told.add(message);
  };
}
