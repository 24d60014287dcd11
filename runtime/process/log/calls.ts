/**
 * What each call of WASI preview1 writes into guest memory, and its number in a log.
 *
 * Outputs are addressed by the call's arguments, which a replay has as well, so that a log holds their bytes and no address.
 */
import type { GuestMemory, WasiOptions } from "../../wasi/index.js";

/** Its length is a multiple of four. */
export interface FixedOutput {
  readonly at: number;
  readonly byteLength: number;
}

/** Where one output lies; the numbers are those of arguments. */
type Output =
  | FixedOutput
  /** As many units as the u32 says that the call has written at another argument. */
  | { readonly at: number; readonly countAt: number; readonly unit: number }
  /** As long as an argument says, or shorter. */
  | { readonly at: number; readonly lengthIn: number; readonly most?: number }
  /** The same, scattered over iovecs; the list and its length are arguments. */
  | { readonly iovecs: number; readonly count: number; readonly countAt: number }
  /** As long as the process's arguments or environment are. */
  | { readonly at: number; readonly sizeOf: keyof ProcessSizes };

/** Byte lengths of what args_get and environ_get write. */
export interface ProcessSizes {
  readonly argPointers: number;
  readonly args: number;
  readonly envPointers: number;
  readonly env: number;
}

export function sizesOf({ args, env }: WasiOptions): ProcessSizes {
  const bytes = (texts: readonly string[]) => texts.reduce((sum, text) => sum + Buffer.byteLength(text) + 1, 0);
  return {
    argPointers: args.length * 4,
    args: bytes(args),
    envPointers: env.length * 4,
    env: bytes(env.map(([name, value]) => `${name}=${value}`)),
  };
}

export interface CallShape {
  /** In a log. */
  readonly kind: number;
  readonly outputs: readonly Output[];
  /** One of the outputs is scattered. */
  readonly scatters: boolean;
  /** The outputs if they are all as long as they ever are, which those of most calls are. */
  readonly fixed: readonly FixedOutput[] | undefined;
}

const u32 = (at: number): Output => ({ at, byteLength: 4 });
const u64 = (at: number): Output => ({ at, byteLength: 8 });
const filled = (at: number, countAt: number, unit = 1): Output => ({ at, countAt, unit });
const scattered = (countAt: number): Output => ({ iovecs: 1, count: 2, countAt });

/** In this order they are numbered from 1; new ones go to the end. */
const OUTPUTS: Readonly<Record<string, readonly Output[]>> = {
  args_get: [
    { at: 0, sizeOf: "argPointers" },
    { at: 1, sizeOf: "args" },
  ],
  args_sizes_get: [u32(0), u32(1)],
  environ_get: [
    { at: 0, sizeOf: "envPointers" },
    { at: 1, sizeOf: "env" },
  ],
  environ_sizes_get: [u32(0), u32(1)],
  clock_res_get: [u64(1)],
  clock_time_get: [u64(2)],
  fd_advise: [],
  fd_allocate: [],
  fd_close: [],
  fd_datasync: [],
  fd_fdstat_get: [{ at: 1, byteLength: 24 }],
  fd_fdstat_set_flags: [],
  fd_fdstat_set_rights: [],
  fd_filestat_get: [{ at: 1, byteLength: 64 }],
  fd_filestat_set_size: [],
  fd_filestat_set_times: [],
  fd_pread: [u32(4), scattered(4)],
  fd_prestat_get: [u64(1)],
  fd_prestat_dir_name: [{ at: 1, lengthIn: 2, most: 65_536 }],
  fd_pwrite: [u32(4)],
  fd_read: [u32(3), scattered(3)],
  fd_readdir: [u32(4), filled(1, 4)],
  fd_renumber: [],
  fd_seek: [u64(3)],
  fd_sync: [],
  fd_tell: [u64(1)],
  fd_write: [u32(3)],
  path_create_directory: [],
  path_filestat_get: [{ at: 4, byteLength: 64 }],
  path_filestat_set_times: [],
  path_link: [],
  path_open: [u32(8)],
  path_readlink: [u32(5), filled(3, 5)],
  path_remove_directory: [],
  path_rename: [],
  path_symlink: [],
  path_unlink_file: [],
  poll_oneoff: [u32(3), filled(1, 3, 32)],
  proc_exit: [],
  proc_raise: [],
  random_get: [{ at: 0, lengthIn: 1 }],
  sched_yield: [],
  sock_accept: [u32(2)],
  sock_recv: [u32(4), { at: 5, byteLength: 2 }, scattered(4)],
  sock_send: [u32(4)],
  sock_shutdown: [],
};

/** A filestat of wasi_unstable is shorter. */
const UNSTABLE_OUTPUTS: Readonly<Record<string, readonly Output[]>> = {
  fd_filestat_get: [{ at: 1, byteLength: 56 }],
  path_filestat_get: [{ at: 4, byteLength: 56 }],
};

const NAMES = Object.keys(OUTPUTS);
const KINDS = new Map(NAMES.map((name, index) => [name, index + 1]));

export function kindOf(name: string): number {
  return KINDS.get(name) ?? 0;
}

/** For messages. */
export function nameOfKind(kind: number): string {
  return NAMES[kind - 1] ?? `record ${kind}`;
}

export function shapeOf(name: string, unstable: boolean): CallShape {
  const outputs = (unstable ? UNSTABLE_OUTPUTS[name] : undefined) ?? OUTPUTS[name] ?? [];
  return {
    kind: kindOf(name),
    outputs,
    scatters: outputs.some((output) => "iovecs" in output),
    fixed: outputs.every(isFixed) ? outputs : undefined,
  };
}

function isFixed(output: Output): output is FixedOutput {
  return "byteLength" in output;
}

export type Arguments = readonly (number | bigint)[];

/** A call as the guest makes it. The result is an error number; below 0: it was left. */
export type SystemCall = (...args: (number | bigint)[]) => number | undefined;

/** By name. */
export type SystemCalls = Readonly<Record<string, SystemCall>>;

/** A range of guest memory: address, byte length, and so on. */
export type Ranges = readonly number[];

const NO_RANGES: Ranges = [];

/** The buffers of a call that scatters, before it is made: what it reads may overwrite the list. */
export function buffersOf({ outputs, scatters }: CallShape, args: Arguments, memory: GuestMemory): Ranges {
  if (!scatters) return NO_RANGES;
  const output = outputs.find((candidate) => "iovecs" in candidate);
  if (output === undefined || !("iovecs" in output)) return [];
  const list = Number(args[output.iovecs]) >>> 0;
  const count = Number(args[output.count]) >>> 0;
  const ranges: number[] = [];
  if (!memory.has(list, count * 8)) return ranges;
  for (let at = list; at < list + count * 8; at += 8) ranges.push(memory.u32(at), memory.u32(at + 4));
  return ranges;
}

/**
 * Visits what a call that has succeeded wrote, in the order of its outputs; a count has been visited before what it counts.
 * Ranges that are not inside the memory are left out: the call would have failed.
 */
export function visitOutputs(
  { outputs }: CallShape,
  args: Arguments,
  memory: GuestMemory,
  buffers: Ranges,
  sizes: ProcessSizes,
  visit: (pointer: number, byteLength: number) => void,
): void {
  const add = (pointer: number, byteLength: number): void => {
    if (byteLength > 0 && memory.has(pointer, byteLength)) visit(pointer, byteLength);
  };
  for (const output of outputs) {
    if ("iovecs" in output) {
      let left = memory.u32(Number(args[output.countAt]) >>> 0);
      for (let index = 0; index < buffers.length && left > 0; index += 2) {
        const part = Math.min(left, buffers[index + 1]!);
        add(buffers[index]!, part);
        left -= part;
      }
      continue;
    }
    const pointer = Number(args[output.at]) >>> 0;
    if ("byteLength" in output) add(pointer, output.byteLength);
    else if ("countAt" in output) add(pointer, memory.u32(Number(args[output.countAt]) >>> 0) * output.unit);
    else if ("sizeOf" in output) add(pointer, sizes[output.sizeOf]);
    else add(pointer, Math.min(Number(args[output.lengthIn]) >>> 0, output.most ?? 0x100000000));
  }
}

/** Of a call's arguments: two calls that differ in them are told apart. Paths count by their place. */
export function checkOf(args: Arguments): number {
  let sum = args.length;
  for (const arg of args) sum = withArgument(sum, typeof arg === "bigint" ? foldBigint(arg) : arg);
  return sum | 0;
}

/** `checkOf` for three numbers, without a list of them, as the next two. */
export function checkOf3(a: number, b: number, c: number): number {
  return withArgument(withArgument(withArgument(3, a), b), c) | 0;
}

export function checkOf4(a: number, b: number, c: number, d: number): number {
  return withArgument(withArgument(withArgument(withArgument(4, a), b), c), d) | 0;
}

export function checkOf5(a: number, b: number, c: number, d: number, e: number): number {
  return withArgument(withArgument(withArgument(withArgument(withArgument(5, a), b), c), d), e) | 0;
}

function withArgument(sum: number, arg: number): number {
  return Math.imul(sum ^ arg, 0x9e3779b1) ^ (sum >>> 15);
}

function foldBigint(value: bigint): number {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return (number | 0) ^ Math.floor(number / 0x100000000); // the same, and five times as fast
  return Number(BigInt.asIntN(32, value)) ^ Number(BigInt.asIntN(32, value >> 32n));
}
