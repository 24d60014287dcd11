import { createHash } from "node:crypto";
import { basename, join, resolve } from "node:path";

export interface Preopen {
  /** A directory of the host; absolute once it is part of a command. */
  readonly host: string;
  /** The name under which the guest sees it. */
  readonly guest: string;
}

/** What is run, as the image remembers it: plain JSON, everything resolved. */
export interface Command {
  /** Absolute path of the module as it was given; the image holds the bytes. */
  readonly module: string;
  /** The guest's own arguments begin with argv[0]. */
  readonly args: readonly string[];
  readonly env: readonly (readonly [name: string, value: string])[];
  readonly preopens: readonly Preopen[];
  /** The export to call instead of `_start`; its arguments are `invokeArgs`. */
  readonly invoke: string | null;
  /** Bytes that all linear memories together may have; null: as far as the module and the machine go. */
  readonly maxMemoryByteLength: number | null;
}

/** The order of variables and options is part of the command: the guest can see it. */
export function sameCommand(a: Command, b: Command): boolean {
  return identity(a) === identity(b);
}

/** The directory that `run` uses without `--image`: typing the same command again finds it again. */
export function defaultImageDirectory(workingDirectory: string, command: Command): string {
  const name = basename(command.module).replace(/\.(wasm|wat)$/, "");
  const hash = createHash("sha256").update(identity(command)).digest("hex").slice(0, 12);
  return join(workingDirectory, ".vermilion", `${name}-${hash}`);
}

function identity({ module, args, env, preopens, invoke, maxMemoryByteLength }: Command): string {
  const places = preopens.map(({ host, guest }) => [resolve(host), guest]);
  return JSON.stringify([module, args, env, places, invoke, maxMemoryByteLength]);
}
