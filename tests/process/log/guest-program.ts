/** A guest in JavaScript: makes host calls through a system interface, logged or replayed, as a WebAssembly program would. */
import { execFileSync } from "node:child_process";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OpenedLog } from "../../../runtime/process/log/opened-log.js";
import { SystemInterface } from "../../../runtime/process/system-interface.js";
import { WASI_TAKING_NUMBERS } from "../../../runtime/wasi/index.js";
import { libc } from "../../../runtime/wasi/libc.js";
import { machine } from "./simulated-machine.js";

const PATHS = 64;
const IOVECS = 1024;
const OUT = 2048;
const DATA = 4096;
const ROOT = 3;

/** The world around a guest: a directory that it may use, its image, and files for stdin and stdout. */
export class World {
  readonly folder = mkdtempSync(join(tmpdir(), "vermilion-log-"));
  readonly image = join(this.folder, "image");
  readonly data = join(this.folder, "data");
  readonly #appending: boolean;
  readonly #stdio: number[] = [];
  readonly #stderr: string;

  /** `piped`: what goes to stderr is gone, and not in a file. */
  constructor(appending: boolean, piped = false) {
    this.#appending = appending;
    this.#stderr = piped ? join(this.folder, "stderr") : "/dev/null";
    if (piped) execFileSync("mkfifo", [this.#stderr]);
    mkdirSync(join(this.image, "open-files"), { recursive: true });
    mkdirSync(this.data);
    writeFileSync(join(this.folder, "stdin"), "first line\nsecond line\nthird line\n");
    writeFileSync(join(this.folder, "stdout"), "");
  }

  /** Opened anew by each process, as a user would who types the command again. */
  stdio(): [number, number, number] {
    const output = openSync(join(this.folder, "stdout"), this.#appending ? "a" : "r+");
    const stdio: [number, number, number] = [
      openSync(join(this.folder, "stdin"), "r"),
      output,
      openSync(this.#stderr, "r+"),
    ];
    this.#stdio.push(...stdio);
    return stdio;
  }

  /** It ends: for tests that make thousands. */
  end(): void {
    for (const descriptor of this.#stdio) closeSync(descriptor);
    rmSync(this.folder, { recursive: true });
  }

  /** What others see of the guest's work. */
  outcome(): Record<string, string> {
    const found: Record<string, string> = { stdout: readFileSync(join(this.folder, "stdout"), "utf8") };
    for (const entry of readdirSync(this.data, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      const name = path.slice(this.data.length);
      if (entry.isSymbolicLink()) found[name] = `-> ${readlinkSync(path)}`;
      else if (entry.isDirectory()) found[name] = "directory";
      else found[name] = `${statSync(path).nlink} ${readFileSync(path, "utf8")}`;
    }
    return found;
  }
}

export class GuestProgram {
  readonly system: SystemInterface;
  readonly notices: string[] = [];
  readonly #memory = new WebAssembly.Memory({ initial: 1 });
  readonly #bytes = Buffer.from(this.#memory.buffer);
  readonly #clocks = new Map<number, bigint>();
  /** What each call returned, as far as it is the same in every world. */
  readonly results: string[] = [];

  private constructor(world: World, log: OpenedLog | undefined, state: unknown = undefined) {
    this.system = new SystemInterface({
      options: {
        args: ["guest"],
        env: [],
        preopens: [{ host: world.data, guest: "/" }],
        stdio: world.stdio(),
        keptFilesDirectory: join(world.image, "open-files"),
        warn: (message) => this.notices.push(message),
      },
      ...{ image: world.image, state, log },
      notice: (message) => this.notices.push(message),
      keptFiles: () => new Set(),
      replaying: () => {},
    });
    this.system.bind({
      memory: this.#memory,
      memoryAddress: libc().addressOf(this.#memory.buffer),
      failurePending: () => false,
      wakeDescriptor: -1,
    });
  }

  static begin(world: World, durability: "process" | "system" = "process"): GuestProgram {
    const guest = new GuestProgram(world, undefined);
    guest.system.configure({ uncertain: "repeat", durability }, false);
    guest.system.beginLog(0, 0, { callback: false, eintr: false });
    return guest;
  }

  /** Without a log. */
  static plain(world: World): GuestProgram {
    return new GuestProgram(world, undefined);
  }

  static recover(world: World): GuestProgram {
    const log = OpenedLog.open(world.image, 0);
    if (log === undefined) throw new Error("there is no log");
    const guest = new GuestProgram(world, log);
    guest.system.configure({ uncertain: "repeat", durability: "process" }, false);
    return guest;
  }

  /** After a power failure, as a fresh process goes on. */
  resumed(world: World): GuestProgram {
    const state: unknown = JSON.parse(JSON.stringify(this.system.save()));
    this.system.close();
    const guest = new GuestProgram(world, undefined, state);
    guest.results.push(...this.results);
    guest.notices.push(...this.notices);
    this.#bytes.copy(guest.#bytes);
    for (const [id, time] of this.#clocks) guest.#clocks.set(id, time);
    return guest;
  }

  /** As at a persistence point: what follows goes to the next log. A replay has that behind it. */
  goOnInNextLog(): void {
    const { recording } = this.system;
    if (!recording.isOn) return;
    this.system.save({ flush: false });
    recording.next(1);
    recording.tidy();
  }

  #call(name: string, ...args: (number | bigint)[]): number {
    this.#bytes.fill(0, OUT, OUT + 64); // a call that fails leaves what was there
    // As a guest is linked: near-call.ts.
    const near = (arg: number | bigint) => (arg < 2 ** 31 && WASI_TAKING_NUMBERS.has(name) ? Number(arg) : arg);
    const result = this.system.functions[name]?.(...args.map(near)) ?? -1;
    this.results.push(`${name} ${result}`);
    machine.computing();
    return result;
  }

  #path(text: string, slot = 0): [number, number] {
    return [PATHS + slot * 256, this.#bytes.write(text, PATHS + slot * 256)];
  }

  #iovec(byteLength: number): void {
    this.#bytes.writeUInt32LE(DATA, IOVECS);
    this.#bytes.writeUInt32LE(byteLength, IOVECS + 4);
  }

  /** The new descriptor's number, or minus the error. */
  open(path: string, oflags = 0, fdflags = 0): number {
    const rights = (1n << 1n) | (1n << 6n);
    const result = this.#call("path_open", ROOT, 1, ...this.#path(path), oflags, rights, 0n, fdflags, OUT);
    return result === 0 ? this.#bytes.readUInt32LE(OUT) : -result;
  }

  close(fd: number): number {
    return this.#call("fd_close", fd);
  }

  write(fd: number, text: string): number {
    this.#iovec(this.#bytes.write(text, DATA));
    const result = this.#call("fd_write", fd, IOVECS, 1, OUT);
    this.results.push(String(this.#bytes.readUInt32LE(OUT)));
    return result;
  }

  /** What a read with that result has brought. */
  #taken(result: number): string {
    if (result !== 0) return "";
    const text = this.#bytes.toString("utf8", DATA, DATA + this.#bytes.readUInt32LE(OUT));
    this.results.push(text);
    return text;
  }

  readAt(fd: number, byteLength: number, offset: bigint): string {
    this.#iovec(byteLength);
    return this.#taken(this.#call("fd_pread", fd, IOVECS, 1, offset, OUT));
  }

  writeAt(fd: number, text: string, position: bigint): number {
    this.#iovec(this.#bytes.write(text, DATA));
    return this.#call("fd_pwrite", fd, IOVECS, 1, position, OUT);
  }

  read(fd: number, byteLength: number): string {
    this.#iovec(byteLength);
    return this.#taken(this.#call("fd_read", fd, IOVECS, 1, OUT));
  }

  seek(fd: number, offset: bigint, whence = 0): number {
    const result = this.#call("fd_seek", fd, offset, whence, OUT);
    this.results.push(String(this.#bytes.readBigUInt64LE(OUT)));
    return result;
  }

  /** Type, link count and length. */
  stat(fd: number): void {
    this.#call("fd_filestat_get", fd, OUT);
    const [type, links] = [this.#bytes.readUInt8(OUT + 16), this.#bytes.readBigUInt64LE(OUT + 24)];
    this.results.push(`${type} ${links} ${this.#bytes.readBigUInt64LE(OUT + 32)}`);
  }

  list(fd: number): void {
    this.#call("fd_readdir", fd, DATA, 1024, 0n, OUT);
    const names: string[] = [];
    const end = DATA + this.#bytes.readUInt32LE(OUT);
    for (let at = DATA; at + 24 <= end; ) {
      const length = this.#bytes.readUInt32LE(at + 16);
      names.push(this.#bytes.toString("utf8", at + 24, at + 24 + length));
      at += 24 + length;
    }
    this.results.push(names.sort().join(","));
  }

  /** Of a clock that only the process has: it never goes back. 1: monotonic, 2: the process's time. */
  clock(id: number): void {
    this.#call("clock_time_get", id, 0n, OUT);
    const now = this.#bytes.readBigUInt64LE(OUT);
    if (now < (this.#clocks.get(id) ?? 0n)) this.results.push(`clock ${id} has gone back`);
    this.#clocks.set(id, now);
  }

  random(): string {
    this.#call("random_get", DATA, 4);
    return this.#bytes.toString("hex", DATA, DATA + 4);
  }

  truncate(fd: number, byteLength: bigint): number {
    return this.#call("fd_filestat_set_size", fd, byteLength);
  }

  renumber(from: number, to: number): number {
    return this.#call("fd_renumber", from, to);
  }

  setFlags(fd: number, flags: number): number {
    return this.#call("fd_fdstat_set_flags", fd, flags);
  }

  makeDirectory(path: string): number {
    return this.#call("path_create_directory", ROOT, ...this.#path(path));
  }

  removeDirectory(path: string): number {
    return this.#call("path_remove_directory", ROOT, ...this.#path(path));
  }

  unlink(path: string): number {
    return this.#call("path_unlink_file", ROOT, ...this.#path(path));
  }

  rename(from: string, to: string): number {
    return this.#call("path_rename", ROOT, ...this.#path(from), ROOT, ...this.#path(to, 1));
  }

  link(from: string, to: string): number {
    return this.#call("path_link", ROOT, 0, ...this.#path(from), ROOT, ...this.#path(to, 1));
  }

  symlink(target: string, path: string): number {
    return this.#call("path_symlink", ...this.#path(target), ROOT, ...this.#path(path, 1));
  }
}
