import { type StringList, stringList } from "./args.js";
import type { Simulation } from "./simulation.js";

/** What the guest is given. A resume may grant less, or other things under the same names, never more than is asked here. */
export interface WasiOptions {
  /** With argv[0]. */
  readonly args: readonly string[];
  readonly env: readonly (readonly [string, string])[];
  readonly preopens: readonly { readonly host: string; readonly guest: string }[];
  /** Host descriptors of the guest's 0, 1 and 2; -1: nothing there, like /dev/null. */
  readonly stdio: readonly [number, number, number];
  /** Listening sockets, which become descriptors 3 and up, before the directories: "host:port", "[v6]:port", "unix:/path". */
  readonly listen?: readonly string[];
  /** How many descriptors the guest may have open. */
  readonly maximumDescriptors?: number;
  /** Where `save` keeps the content of open files that have no name any more; `restore` opens them from there. */
  readonly keptFilesDirectory?: string;
  /** A file that changed between failure and resume: "warn" is the default. */
  readonly onChangedFile?: "fail" | "warn" | "ignore";
  /** Receives one line for each thing that a resume could not bring back as it was. */
  readonly warn?: (message: string) => void;
  /** A restored stdin that is a regular file stands where the state says, also if it has been read further since. */
  readonly inputGoesBack?: boolean;
  /** "walk": resolve paths without openat2, as on kernels that lack it. */
  readonly resolver?: "kernel" | "walk";
  /** Time and randomness for tests; the kernel's if it is not given. */
  readonly simulation?: Simulation;
}

export const DESCRIPTORS_MAXIMUM = 4096;

export interface ResolvedOptions {
  readonly args: StringList;
  readonly env: StringList;
  readonly preopens: readonly { readonly host: string; readonly guest: string }[];
  readonly stdio: readonly [number, number, number];
  readonly listen: readonly string[];
  readonly maximumDescriptors: number;
  readonly keptFilesDirectory: string | undefined;
  readonly onChangedFile: "fail" | "warn" | "ignore";
  readonly warn: (message: string) => void;
  readonly inputGoesBack: boolean;
  readonly resolver: "kernel" | "walk";
  readonly simulation: Simulation | undefined;
}

export function resolveOptions(options: WasiOptions): ResolvedOptions {
  return {
    args: stringList(options.args),
    env: stringList(options.env.map(([name, value]) => `${name}=${value}`)),
    preopens: options.preopens,
    stdio: options.stdio,
    listen: options.listen ?? [],
    maximumDescriptors: options.maximumDescriptors ?? DESCRIPTORS_MAXIMUM,
    keptFilesDirectory: options.keptFilesDirectory,
    onChangedFile: options.onChangedFile ?? "warn",
    warn: options.warn ?? (() => {}),
    inputGoesBack: options.inputGoesBack ?? false,
    resolver: options.resolver ?? "kernel",
    simulation: options.simulation,
  };
}
