import { basename, join, resolve } from "node:path";

export interface Preopen {
  /** A directory of the host; absolute once it is part of a command. */
  readonly host: string;
  /** The name under which the guest sees it. */
  readonly guest: string;
}

const MOST_NAME_BYTES = 200;

/** What is run, as the image remembers it: plain JSON, everything resolved. */
export interface Command {
  /** Absolute path of the module as it was given; the image holds the bytes. */
  readonly module: string;
  /** The guest's own arguments begin with argv[0]. */
  readonly args: readonly string[];
  readonly env: readonly (readonly [name: string, value: string])[];
  readonly preopens: readonly Preopen[];
  /** Addresses of the listening sockets that the guest gets, as descriptors 3 and up, before the directories. */
  readonly listen: readonly string[];
  /**
   * A persistent instance: nothing is called but what somebody asks for, one function after another, and memory, globals
   * and tables are kept between the calls.
   */
  readonly instance: boolean;
  /** The export to call instead of `_start`; its arguments are `invokeArgs`. */
  readonly invoke: string | null;
  /** Bytes that all linear memories together may have; null: as far as the module and the machine go. */
  readonly maxMemoryByteLength: number | null;
  /** Descriptors that the guest may have open at once; null: the system interface's own limit. */
  readonly maximumDescriptors: number | null;
}

/** The order of variables and options is part of the command: the guest can see it. */
export function sameCommand(a: Command, b: Command): boolean {
  return identity(a) === identity(b);
}

/** The directory that `run` uses without `--image`: typing the same command again finds it again. */
export function defaultImageDirectory(workingDirectory: string, command: Command): string {
  const name = shortened(basename(command.module).replace(/\.(wasm|wat)$/, ""));
  return join(workingDirectory, ".vermilion", `${name}-${hashText(identity(command))}`);
}

/** A file's name has at most 255 bytes, and the hash comes behind it. */
function shortened(name: string): string {
  const letters = [...name];
  while (Buffer.byteLength(letters.join("")) > MOST_NAME_BYTES) letters.pop();
  return letters.join("");
}

/**
 * 64 bits as hexadecimal: two rounds of MurmurHash3's mixing over the UTF-16 units. No cryptography, which takes 5 ms to
 * load: the command in the image is compared anyway, so a collision is an error message.
 */
function hashText(text: string): string {
  let a = 0x9e3779b9;
  let b = 0x243f6a88;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    a = Math.imul(a ^ unit, 0x85ebca6b);
    a ^= a >>> 13;
    b = Math.imul(b ^ unit, 0xc2b2ae35);
    b ^= b >>> 16;
  }
  a = Math.imul(a ^ (b >>> 15), 0x27d4eb2f);
  b = Math.imul(b ^ (a >>> 13), 0x165667b1);
  return [a, b].map((half) => ((half ^ (half >>> 16)) >>> 0).toString(16).padStart(8, "0")).join("");
}

function identity(command: Command): string {
  const { module, args, env, preopens, listen, instance, invoke, maxMemoryByteLength, maximumDescriptors } = command;
  const places = preopens.map(({ host, guest }) => [resolve(host), guest]);
  return JSON.stringify([module, args, env, places, listen, instance, invoke, maxMemoryByteLength, maximumDescriptors]);
}
