import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { RESTART, Wasi, type WasiOptions } from "../../runtime/wasi/index.js";
import { libc } from "../../runtime/wasi/libc.js";

const GUARD = 0xa5;
const GUARD_BYTES = 16;
const PAGE = 65536;

/**
 * Plays the guest: a memory, arguments laid out in it, and calls. Every range handed to a call is surrounded by guard
 * bytes, which no call may touch.
 */
export class TestGuest {
  /** Holds the preopened directory `root`, and room beside it that the guest must not reach. */
  readonly outside: string;
  readonly root: string;
  readonly memory: WebAssembly.Memory;
  wasi: Wasi;
  options: WasiOptions;
  failurePending = false;
  readonly warnings: string[] = [];
  readonly #wake: number;
  #next = 1024;
  #guards: { at: number; byteLength: number }[] = [];

  constructor(options: Partial<WasiOptions> = {}) {
    this.outside = mkdtempSync(join(tmpdir(), "vermilion-wasi-"));
    this.root = join(this.outside, "root");
    mkdirSync(this.root);
    const fifo = join(this.outside, "wake");
    execFileSync("mkfifo", [fifo]);
    this.#wake = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
    this.memory = new WebAssembly.Memory({ initial: 64, maximum: 256 });
    this.options = {
      args: ["guest"],
      env: [],
      preopens: [{ host: this.root, guest: "/" }],
      stdio: [-1, -1, -1],
      keptFilesDirectory: join(this.outside, "kept"),
      warn: (message) => this.warnings.push(message),
      ...options,
    };
    this.wasi = Wasi.create(this.options);
    this.#bind();
  }

  #bind(): void {
    this.wasi.bind({
      memory: this.memory,
      memoryAddress: libc().addressOf(this.memory.buffer),
      failurePending: () => this.failurePending,
      wakeDescriptor: this.#wake,
    });
  }

  [Symbol.dispose](): void {
    this.wasi.close();
    closeSync(this.#wake);
    rmSync(this.outside, { recursive: true, force: true });
  }

  /** What the process layer does on a power failure. */
  fail(): void {
    this.failurePending = true;
    writeSync(this.#wake, "12345678");
  }

  /** Saves, carries the state through JSON, closes everything, and restores: a resume in a fresh process. */
  resume(options: Partial<WasiOptions> = {}): void {
    const state = this.save();
    this.wasi.close();
    this.restore(state, options);
  }

  save(): unknown {
    return JSON.parse(JSON.stringify(this.wasi.save()));
  }

  restore(state: unknown, options: Partial<WasiOptions> = {}): void {
    this.failurePending = false;
    this.options = { ...this.options, ...options };
    this.wasi = Wasi.restore(this.options, state);
    this.#bind();
  }

  get view(): DataView {
    return new DataView(this.memory.buffer);
  }

  /** A fresh range of zeros. */
  alloc(byteLength: number): number {
    const bytes = new Uint8Array(this.memory.buffer);
    const at = this.#next + GUARD_BYTES;
    bytes.fill(GUARD, this.#next, at);
    bytes.fill(0, at, at + byteLength);
    bytes.fill(GUARD, at + byteLength, at + byteLength + GUARD_BYTES);
    this.#guards.push({ at: this.#next, byteLength: GUARD_BYTES }, { at: at + byteLength, byteLength: GUARD_BYTES });
    this.#next = (at + byteLength + GUARD_BYTES + 15) & ~15;
    expect(this.#next).toBeLessThan(this.memory.buffer.byteLength - PAGE);
    return at;
  }

  /** Gives all ranges back. */
  release(): void {
    this.#next = 1024;
    this.#guards = [];
  }

  put(content: string | Uint8Array): [pointer: number, byteLength: number] {
    const bytes = typeof content === "string" ? Buffer.from(content) : content;
    const at = this.alloc(bytes.length);
    new Uint8Array(this.memory.buffer).set(bytes, at);
    return [at, bytes.length];
  }

  text(pointer: number, byteLength: number): string {
    return Buffer.from(this.memory.buffer, pointer, byteLength).toString();
  }

  /** The errno, or RESTART. Fails if a guard byte changed. */
  call(name: string, ...args: (number | bigint)[]): number {
    const result = this.wasi.functions[name]!(...args);
    const bytes = new Uint8Array(this.memory.buffer);
    for (const { at, byteLength } of this.#guards) {
      for (let index = at; index < at + byteLength; index++) {
        if (bytes[index] !== GUARD) throw new Error(`${name} wrote outside its range, at ${index}`);
      }
    }
    return result!;
  }

  /** An iovec list over fresh ranges of these lengths. */
  iovecs(...ranges: (readonly [pointer: number, byteLength: number])[]): number {
    const at = this.alloc(ranges.length * 8);
    for (const [index, [pointer, byteLength]] of ranges.entries()) {
      this.view.setUint32(at + index * 8, pointer, true);
      this.view.setUint32(at + index * 8 + 4, byteLength, true);
    }
    return at;
  }

  open(path: string, flags: { o?: number; rights?: bigint; fd?: number; lookup?: number; at?: number } = {}): number {
    const out = this.alloc(4);
    const rights = flags.rights ?? ((flags.o ?? 0) & DIRECTORY ? 0x1fffffffn & ~WRITE : 0x1fffffffn);
    const error = this.call(
      "path_open",
      flags.at ?? 3,
      flags.lookup ?? 1,
      ...this.put(path),
      flags.o ?? 0,
      rights,
      0x1fffffffn,
      flags.fd ?? 0,
      out,
    );
    return error === 0 ? this.view.getUint32(out, true) : -error;
  }

  write(fd: number, content: string | Uint8Array): number {
    const out = this.alloc(4);
    const error = this.call("fd_write", fd, this.iovecs(this.put(content)), 1, out);
    return error === 0 ? this.view.getUint32(out, true) : error === RESTART ? -1000 : -error;
  }

  /** The bytes as text, or minus the errno; "RESTART". */
  read(fd: number, byteLength: number): string | number {
    const buffer = this.alloc(byteLength);
    const out = this.alloc(4);
    const error = this.call("fd_read", fd, this.iovecs([buffer, byteLength]), 1, out);
    if (error === RESTART) return "RESTART";
    return error === 0 ? this.text(buffer, this.view.getUint32(out, true)) : -error;
  }

  seek(fd: number, offset: bigint, whence: number): bigint | number {
    const out = this.alloc(8);
    const error = this.call("fd_seek", fd, offset, whence, out);
    return error === 0 ? this.view.getBigUint64(out, true) : -error;
  }

  fdstat(fd: number): { filetype: number; flags: number; rights: bigint; inheriting: bigint } {
    const out = this.alloc(24);
    expect(this.call("fd_fdstat_get", fd, out)).toBe(0);
    const { view } = this;
    return {
      filetype: view.getUint8(out),
      flags: view.getUint16(out + 2, true),
      rights: view.getBigUint64(out + 8, true),
      inheriting: view.getBigUint64(out + 16, true),
    };
  }

  filestat(fd: number): { inode: bigint; filetype: number; links: bigint; byteLength: bigint; modified: bigint } {
    const out = this.alloc(64);
    expect(this.call("fd_filestat_get", fd, out)).toBe(0);
    return this.#filestatAt(out);
  }

  pathFilestat(path: string, lookup = 0): ReturnType<TestGuest["filestat"]> | number {
    const out = this.alloc(64);
    const error = this.call("path_filestat_get", 3, lookup, ...this.put(path), out);
    return error === 0 ? this.#filestatAt(out) : error;
  }

  #filestatAt(out: number): ReturnType<TestGuest["filestat"]> {
    const { view } = this;
    return {
      inode: view.getBigUint64(out + 8, true),
      filetype: view.getUint8(out + 16),
      links: view.getBigUint64(out + 24, true),
      byteLength: view.getBigUint64(out + 32, true),
      modified: view.getBigUint64(out + 48, true),
    };
  }

  now(clock: number): bigint {
    const out = this.alloc(8);
    expect(this.call("clock_time_get", clock, 1n, out)).toBe(0);
    return this.view.getBigUint64(out, true);
  }
}

export const CREAT = 1;
export const DIRECTORY = 2;
export const EXCL = 4;
export const TRUNC = 8;
export const APPEND = 1;
export const NONBLOCK = 4;
export const READ = 2n;
export const WRITE = 64n;

/** Tests of both ways to resolve a path. */
export function eachResolver(what: string, tests: (resolver: "kernel" | "walk") => void): void {
  using probe = new TestGuest();
  for (const resolver of ["kernel", "walk"] as const) {
    const isMissing = resolver === "kernel" && probe.wasi.resolver !== "openat2";
    const reason = isMissing ? " (skipped: the kernel has no openat2)" : "";
    describe.skipIf(isMissing)(`${what} ${resolver}${reason}`, () => tests(resolver));
  }
}
