/**
 * The state of the system interface as a log tells it: what was saved, and what each call since has changed. A replay makes
 * no call, so this is all that it knows of descriptors; when the log ends, the system interface is restored from it once.
 */
import { VermilionError } from "../../../pmem/error.js";
import { Errno, type Place, parseDescriptors, type SavedDescriptor, type SavedState } from "../../wasi/index.js";
import type { Arguments } from "./calls.js";

/** What a call has returned, as far as the state depends on it. */
export interface CallFacts {
  readonly name: string;
  readonly args: Arguments;
  readonly result: number;
  /** The first output: a byte count, a new descriptor, an offset. */
  readonly value: number;
  /** Where the descriptor stands after it, if the log says so. */
  readonly position: number | undefined;
}

const CLOCKS = { 1: "monotonic", 2: "processCpu", 3: "threadCpu" } as const;

export class DescriptorModel {
  readonly #descriptors = new Map<number, SavedDescriptor>();
  readonly #positions = new Map<number, number>();
  readonly #clocks: { monotonic: bigint; processCpu: bigint; threadCpu: bigint };
  #interrupted: SavedState["interrupted"];
  /** Inodes of open files that the guest may have written to. */
  readonly #written = new Set<string>();
  #timesSet = false;
  /** Second names that the guest has made, by the inode. */
  readonly #links = new Map<string, Place[]>();

  constructor(state: SavedState) {
    for (const descriptor of state.descriptors) this.#set(descriptor);
    this.#interrupted = state.interrupted;
    this.#clocks = {
      monotonic: BigInt(state.clocks.monotonic),
      processCpu: BigInt(state.clocks.processCpu),
      threadCpu: BigInt(state.clocks.threadCpu),
    };
  }

  get descriptors(): readonly SavedDescriptor[] {
    return [...this.#descriptors.values()];
  }

  /** What the guest would have: for the system interface to be restored from. */
  state(version: number): SavedState {
    const { monotonic, processCpu, threadCpu } = this.#clocks;
    return {
      version,
      clocks: {
        monotonic: monotonic.toString(),
        processCpu: processCpu.toString(),
        threadCpu: threadCpu.toString(),
      },
      interrupted: this.#interrupted,
      descriptors: [...this.#descriptors.values()]
        .sort((a, b) => a.number - b.number)
        .map((descriptor) => this.#saved(descriptor)),
    };
  }

  /** Descriptors as a record has them. IMAGE_DAMAGED. */
  change(json: string, path: string): void {
    let parsed: unknown;
    try {
      parsed = JSON.parse(json);
    } catch (cause) {
      throw new VermilionError(
        "IMAGE_DAMAGED",
        `${path}: a change of descriptors is no JSON; start again with --fresh`,
        {
          cause,
        },
      );
    }
    this.take(parseDescriptors(parsed));
  }

  /** The same, of descriptors that are known to be well-formed. */
  take(changed: readonly SavedDescriptor[]): void {
    for (const descriptor of changed) this.#set(descriptor);
  }

  /** The guest has given a file another name. */
  linked(inode: string, place: Place): void {
    this.#links.set(inode, [...(this.#links.get(inode) ?? []), place]);
  }

  /** What was at one place, and below it, is at another. */
  renamed(from: Place, to: Place): void {
    if ("kept" in from || "kept" in to) return;
    for (const [inode, places] of this.#links) {
      const moved = places.map((place) => {
        if ("kept" in place || place.guest !== from.guest || place.nth !== from.nth) return place;
        if (place.path !== from.path && !place.path.startsWith(`${from.path}/`)) return place;
        return { ...to, path: `${to.path}${place.path.slice(from.path.length)}` };
      });
      this.#links.set(inode, moved);
    }
  }

  /** Names of a file that the guest has made; they may be gone again. */
  linksTo(inode: string): readonly Place[] {
    return this.#links.get(inode) ?? [];
  }

  clock(monotonic: bigint): void {
    this.#clocks.monotonic = latest(this.#clocks.monotonic, monotonic);
  }

  /** What a call changes besides the descriptors that its record names. */
  called({ name, args, result, value, position }: CallFacts): void {
    const fd = Number(args[0]) >>> 0;
    this.#goOn(name, args);
    if (result === Errno.CONNRESET) this.#tell(fd);
    if (result !== Errno.SUCCESS) return;
    switch (name) {
      case "fd_read":
      case "fd_write":
      case "sock_recv":
      case "sock_send":
        if (position !== undefined) this.#positions.set(fd, position);
        else this.#move(fd, value);
        break;
      case "fd_seek":
        this.#positions.set(fd, value);
        break;
      case "fd_close":
        this.#remove(fd);
        break;
      case "fd_renumber":
        this.#renumber(fd, Number(args[1]) >>> 0);
        break;
      case "fd_filestat_set_times":
      case "path_filestat_set_times":
        this.#timesSet = true;
        break;
    }
  }

  /** A clock has been read. */
  clockRead(id: number, time: bigint): void {
    if (id !== 1 && id !== 2 && id !== 3) return;
    const name = CLOCKS[id];
    this.#clocks[name] = latest(this.#clocks[name], time);
  }

  #set(descriptor: SavedDescriptor): void {
    const { number } = descriptor;
    const offset = "offset" in descriptor ? descriptor.offset : undefined;
    // One that is open already is where its calls have brought it; the record may be older than they are.
    if (offset === undefined) this.#positions.delete(number);
    else if (!this.#descriptors.has(number)) this.#positions.set(number, Number(offset));
    this.#descriptors.set(number, descriptor);
    if (descriptor.kind === "file" && descriptor.writable && descriptor.facts !== undefined) {
      this.#written.add(descriptor.facts.inode);
    }
  }

  #saved(descriptor: SavedDescriptor): SavedDescriptor {
    const position = this.#positions.get(descriptor.number);
    if (position === undefined || !("offset" in descriptor)) return descriptor;
    const offset = position.toString();
    if (descriptor.kind === "stdio") return { ...descriptor, offset };
    if (descriptor.kind !== "file") return descriptor;
    const { facts } = descriptor;
    if (facts === undefined || !(this.#timesSet || this.#written.has(facts.inode))) return { ...descriptor, offset };
    return { ...descriptor, offset, facts: { inode: facts.inode } };
  }

  #move(fd: number, byteLength: number): void {
    const position = this.#positions.get(fd);
    if (position !== undefined) this.#positions.set(fd, position + byteLength);
  }

  #remove(fd: number): void {
    const removed = this.#descriptors.get(fd);
    this.#descriptors.delete(fd);
    this.#positions.delete(fd);
    const inode = inodeOf(removed);
    if (inode === undefined || !this.#written.has(inode)) return;
    for (const other of this.#descriptors.values()) if (inodeOf(other) === inode) return;
    this.#written.delete(inode); // who opens it again gets its facts anew; a program may open a million files
  }

  #renumber(from: number, to: number): void {
    const moved = this.#descriptors.get(from);
    const position = this.#positions.get(from);
    if (moved === undefined || from === to) return;
    this.#remove(to);
    this.#descriptors.delete(from);
    this.#positions.delete(from);
    this.#descriptors.set(to, { ...moved, number: to });
    if (position !== undefined) this.#positions.set(to, position);
  }

  /** The guest has been told that its connection is gone. */
  #tell(fd: number): void {
    const descriptor = this.#descriptors.get(fd);
    if (descriptor?.kind === "reset") this.#descriptors.set(fd, { ...descriptor, told: true });
  }

  /** A call that had been interrupted is over. */
  #goOn(name: string, args: Arguments): void {
    if (this.#interrupted.length === 0) return;
    const wanted = name === "sock_send" ? "fd_write" : name;
    const key = args.slice(0, 3).map((arg) => Number(arg) >>> 0);
    this.#interrupted = this.#interrupted.filter(
      (call) => call.name !== wanted || call.key.some((part, index) => part >>> 0 !== key[index]),
    );
  }
}

function inodeOf(descriptor: SavedDescriptor | undefined): string | undefined {
  return descriptor?.kind === "file" ? descriptor.facts?.inode : undefined;
}

function latest(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
