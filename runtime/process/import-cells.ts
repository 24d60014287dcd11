/** The system calls as a guest imports them: bound once, while what they do changes during the run. */
import { WASI_SIGNATURES } from "../wasi/index.js";
import { type FrequentCall, isFrequentCall } from "./frequent-calls.js";
import type { SystemCall, SystemCalls } from "./log/calls.js";
import { TELL } from "./machine-host.js";

/** One import, which is called through it. */
interface Cell {
  call: SystemCall;
}

type Cells = Readonly<Record<string, Cell>>;

/** What a call is to do; `through` is the import itself, which does what its cell holds when it is called. */
export type CallMaker = (name: string, unstable: boolean, through: SystemCall) => SystemCall;

export class ImportCells {
  readonly #preview1: Cells = makeCells();
  readonly #unstable: Cells = makeCells();
  readonly functions: SystemCalls = callsThrough(this.#preview1);
  readonly unstableFunctions: SystemCalls = callsThrough(this.#unstable);

  /** From here on the guest calls these. */
  install(functions: SystemCalls, unstable: SystemCalls): void {
    this.installEach((name, isUnstable) => (isUnstable ? unstable : functions)[name] as SystemCall);
  }

  installEach(make: CallMaker): void {
    for (const [cells, unstable] of [[this.#preview1, false] as const, [this.#unstable, true] as const]) {
      const through = unstable ? this.unstableFunctions : this.functions;
      for (const [name, cell] of Object.entries(cells)) cell.call = make(name, unstable, through[name] as SystemCall);
    }
  }

  /** The guest's next call, whichever it is, is not made but returns TELL, after `telling`; then all are as they were. */
  tellNext(telling: () => void): void {
    const cells = [...Object.values(this.#preview1), ...Object.values(this.#unstable)];
    const before = cells.map(({ call }) => call);
    const tell: SystemCall = () => {
      cells.forEach((cell, index) => {
        cell.call = before[index] as SystemCall;
      });
      telling();
      return TELL;
    };
    for (const cell of cells) cell.call = tell;
  }
}

function makeCells(): Cells {
  const unset: SystemCall = () => {
    throw new Error("the system interface is not ready");
  };
  return Object.fromEntries(Object.keys(WASI_SIGNATURES).map((name) => [name, { call: unset }]));
}

function callsThrough(cells: Cells): SystemCalls {
  return Object.fromEntries(
    Object.entries(cells).map(([name, cell]) => [name, (isFrequentCall(name) ? THROUGH[name] : throughAny)(cell)]),
  );
}

const throughAny =
  (cell: Cell): SystemCall =>
  (...args) =>
    cell.call(...args);

/** Written out for what frequent-calls.ts has, for its reason. */
const THROUGH: Readonly<Record<FrequentCall, (cell: Cell) => SystemCall>> = {
  clock_time_get: (cell) => (id, precision, out) => cell.call(id!, precision!, out!),
  fd_fdstat_get: (cell) => (fd, out) => cell.call(fd!, out!),
  fd_filestat_get: (cell) => (fd, out) => cell.call(fd!, out!),
  fd_pread: (cell) => (fd, iovecs, count, offset, out) => cell.call(fd!, iovecs!, count!, offset!, out!),
  fd_pwrite: (cell) => (fd, iovecs, count, offset, out) => cell.call(fd!, iovecs!, count!, offset!, out!),
  fd_read: (cell) => (fd, iovecs, count, out) => cell.call(fd!, iovecs!, count!, out!),
  fd_seek: (cell) => (fd, offset, whence, out) => cell.call(fd!, offset!, whence!, out!),
  fd_write: (cell) => (fd, iovecs, count, out) => cell.call(fd!, iovecs!, count!, out!),
  path_filestat_get: (cell) => (fd, lookup, pointer, byteLength, out) =>
    cell.call(fd!, lookup!, pointer!, byteLength!, out!),
};
