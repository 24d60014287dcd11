import { Buffer } from "node:buffer";
import { closeSync, existsSync, readSync, rmSync, writeSync } from "node:fs";
import { basename } from "node:path";
import type { Region } from "../../../pmem/region.js";
import type { CommitCalls } from "../../../runtime/process/image/commit.js";
import type { ImageStorage, StorageFile } from "../../../runtime/process/image/storage.js";

/**
 * A disk that remembers every write and plays a power cut after any of them.
 *
 * It is harsher than a real one. What was not flushed when the power went is kept or lost independently: each 512-byte
 * sector of each write, each name that was created, renamed or removed, each cutting of a file; in any combination.
 * A region's stores are known by the generation that the test gave them; unflushed ones are all "maybe on disk".
 */
export type Operation =
  | { readonly kind: "create"; readonly name: string; readonly file: number }
  | { readonly kind: "write"; readonly file: number; readonly position: number; readonly bytes: Uint8Array }
  /** A hole: sector by sector zeros or what was there, until the next flush. */
  | { readonly kind: "release"; readonly file: number; readonly position: number; readonly byteLength: number }
  | { readonly kind: "sync"; readonly file: number; readonly name: string }
  | { readonly kind: "rename"; readonly from: string; readonly to: string }
  | { readonly kind: "remove"; readonly name: string }
  | { readonly kind: "syncDirectory" }
  | { readonly kind: "flushRegion"; readonly name: string }
  /** Not a call: the guest stores this generation's bytes into the region. */
  | { readonly kind: "store"; readonly name: string; readonly generation: number }
  /** Not a call: from here on the image is known to be in this state. */
  | { readonly kind: "mark"; readonly label: string };

/** Sits between an image and its directory and lets everything through. */
export class Recorder {
  readonly operations: Operation[] = [];
  readonly #files = new Map<string, number>();
  /** Of open files, by descriptor. */
  readonly #open = new Map<number, { readonly name: string; readonly file: number }>();
  #nextFile = 1;
  /** Flushes for which this is true are neither made nor recorded: a mistake that the tests must notice. */
  readonly #omits: (operation: Operation) => boolean;

  constructor(omits: (operation: Operation) => boolean = () => false) {
    this.#omits = omits;
  }

  readonly wrap = (inner: ImageStorage): ImageStorage => ({
    create: (name) => {
      const file = this.#files.get(name) ?? this.newFile(name);
      this.#note({ kind: "create", name, file });
      return this.#wrapFile(name, file, inner.create(name));
    },
    open: (name) => this.#wrapFile(name, this.#files.get(name) ?? 0, inner.open(name)),
    openShared: (name) => this.#wrapFile(name, this.#files.get(name) ?? 0, inner.openShared(name)),
    rename: (from, to) => {
      this.#note({ kind: "rename", from, to });
      this.#files.set(to, this.#files.get(from) ?? 0);
      this.#files.delete(from);
      inner.rename(from, to);
    },
    remove: (name) => {
      this.#note({ kind: "remove", name });
      this.#files.delete(name);
      inner.remove(name);
    },
    syncDirectory: () => {
      if (this.#note({ kind: "syncDirectory" })) inner.syncDirectory();
    },
    flushRegion: (name: string, region: Region) => {
      if (this.#note({ kind: "flushRegion", name })) inner.flushRegion(name, region);
    },
  });

  /** What a commit does while the guest runs, noted as if the calls above had done it. */
  readonly commitCalls: CommitCalls = {
    read: async (descriptor, position, byteLength) => {
      const bytes = new Uint8Array(byteLength);
      readSync(descriptor, bytes, 0, byteLength, position);
      return bytes;
    },
    write: async (descriptor, bytes, position) => {
      const { file } = this.#open.get(descriptor)!;
      this.#note({ kind: "write", file, position, bytes: bytes.slice() });
      writeSync(descriptor, bytes, 0, bytes.byteLength, position);
    },
    flush: async (descriptor) => {
      const { name, file } = this.#open.get(descriptor)!;
      this.#note({ kind: "sync", file, name });
    },
    flushDirectory: async () => {
      this.#note({ kind: "syncDirectory" });
    },
    removeUnpinned: (_directory, _path, expired) => {
      for (const { state, pin } of expired) if (!existsSync(pin)) void this.commitCalls.remove(state);
    },
    remove: async (path) => {
      this.#note({ kind: "remove", name: basename(path) });
      this.#files.delete(basename(path));
      rmSync(path);
    },
    close: async (descriptor) => closeSync(descriptor),
  };

  /** For a file that reaches the directory without the storage: a region. */
  noteRegion(name: string): void {
    this.#note({ kind: "create", name, file: this.newFile(name) });
  }

  note(operation: Operation): void {
    this.#note(operation);
  }

  newFile(name: string): number {
    this.#files.set(name, this.#nextFile);
    return this.#nextFile++;
  }

  #wrapFile(name: string, file: number, inner: StorageFile): StorageFile {
    this.#open.set(inner.descriptor, { name, file });
    return {
      descriptor: inner.descriptor,
      release: (position, byteLength) => {
        this.#note({ kind: "release", file, position, byteLength });
        inner.release(position, byteLength);
      },
      write: (chunks, position) => {
        this.#note({ kind: "write", file, position, bytes: new Uint8Array(Buffer.concat(chunks)) });
        inner.write(chunks, position);
      },
      sync: () => {
        if (this.#note({ kind: "sync", file, name })) inner.sync();
      },
      close: () => inner.close(),
    };
  }

  #note(operation: Operation): boolean {
    if (this.#omits(operation)) return false;
    this.operations.push(operation);
    return true;
  }
}

export interface Remains {
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Per region the generations whose stores may be among its bytes. */
  readonly regions: ReadonlyMap<string, ReadonlySet<number>>;
}

const SECTOR = 512;

/** Bytes that a disk writes whole or not at all. */
type Sector = 512 | 4096;

interface SimulatedFile {
  durable: Uint8Array;
  /** Writes since the last flush; undefined: the file was emptied. */
  pending: ({ position: number; bytes: Uint8Array } | undefined)[];
}

type NameChange = (names: Map<string, number>) => void;

/** What is on the disk after the power was cut behind these operations; `keep` decides about everything unflushed. */
export function afterPowerCut(operations: readonly Operation[], keep: () => boolean, sector: Sector = SECTOR): Remains {
  const files = new Map<number, SimulatedFile>();
  const regions = new Map<string, { durable: number; generations: Set<number>; last: number }>();
  const names = new Map<string, number>();
  let changes: NameChange[] = [];
  const fileOf = (id: number): SimulatedFile => {
    const file = files.get(id) ?? { durable: new Uint8Array(0), pending: [] };
    files.set(id, file);
    return file;
  };

  for (const operation of operations) {
    switch (operation.kind) {
      case "create":
        if (files.has(operation.file)) fileOf(operation.file).pending.push(undefined);
        changes.push((of) => of.set(operation.name, operation.file));
        fileOf(operation.file);
        break;
      case "write":
        fileOf(operation.file).pending.push(operation);
        break;
      case "release": {
        const file = fileOf(operation.file);
        const end = Math.min(operation.position + operation.byteLength, applied(file, () => true).byteLength);
        const bytes = new Uint8Array(Math.max(0, end - operation.position));
        file.pending.push({ position: operation.position, bytes });
        break;
      }
      case "sync": {
        const file = fileOf(operation.file);
        file.durable = applied(file, () => true);
        file.pending = [];
        break;
      }
      case "rename":
        changes.push((of) => {
          const file = of.get(operation.from);
          if (file !== undefined) of.set(operation.to, file);
          of.delete(operation.from);
        });
        break;
      case "remove":
        changes.push((of) => of.delete(operation.name));
        break;
      case "syncDirectory":
        for (const change of changes) change(names);
        changes = [];
        break;
      case "store": {
        const region = regions.get(operation.name) ?? { durable: 0, generations: new Set([0]), last: 0 };
        region.generations.add(operation.generation);
        region.last = operation.generation;
        regions.set(operation.name, region);
        break;
      }
      case "flushRegion": {
        const region = regions.get(operation.name);
        if (region !== undefined) region.generations = new Set([region.last]);
        break;
      }
      case "mark":
        break;
    }
  }

  for (const change of changes) if (keep()) change(names);
  const contents = new Map<string, Uint8Array>();
  for (const [name, id] of names) contents.set(name, applied(fileOf(id), keep, sector));
  return { files: contents, regions: new Map([...regions].map(([name, { generations }]) => [name, generations])) };
}

/** What is there after the process was killed behind these operations: everything, in order. */
export function afterProcessDeath(operations: readonly Operation[]): Remains {
  const remains = afterPowerCut(operations, () => true);
  const last = new Map<string, Set<number>>();
  for (const operation of operations) {
    if (operation.kind === "store") last.set(operation.name, new Set([operation.generation]));
  }
  return { files: remains.files, regions: last };
}

function applied(file: SimulatedFile, keep: () => boolean, sector: Sector = SECTOR): Uint8Array {
  const ends = file.pending.map((write) => (write === undefined ? 0 : write.position + write.bytes.byteLength));
  const bytes = new Uint8Array(Math.max(file.durable.byteLength, ...ends));
  bytes.set(file.durable);
  let byteLength = file.durable.byteLength;
  for (const write of file.pending) {
    if (write === undefined) {
      if (keep()) {
        bytes.fill(0);
        byteLength = 0;
      }
      continue;
    }
    let from = 0;
    while (from < write.bytes.byteLength) {
      const to = Math.min(write.bytes.byteLength, from + sector - ((write.position + from) % sector));
      if (keep()) {
        byteLength = Math.max(byteLength, write.position + to);
        bytes.set(write.bytes.subarray(from, to), write.position + from);
      }
      from = to;
    }
  }
  return bytes.slice(0, byteLength);
}
