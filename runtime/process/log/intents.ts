/**
 * Calls that must not be made twice: what has to be known before one is made, to find out afterwards whether it was, should
 * the process die in between. The question is answered by looking at the file system, never by making the call again.
 */
import { VermilionError } from "../../../pmem/error.js";
import { type Entry, Errno, type Observer, type Place, parsePlace, type SavedDescriptor } from "../../wasi/index.js";
import { isKeptFile } from "../image/epoch-record.js";
import type { Arguments } from "./calls.js";
import type { DescriptorModel } from "./descriptor-model.js";

export interface Intent {
  readonly name: string;
  /** What had the name that the call takes away or moves. */
  readonly source?: Pick<Entry, "device" | "inode"> | undefined;
  /** Descriptors as they are when the call has been made. */
  readonly after?: readonly SavedDescriptor[] | undefined;
  /** Where a second name is made. */
  readonly made?: Place | undefined;
  /** What moves, and where to. */
  readonly moves?: { readonly from: Place; readonly to: Place } | undefined;
  /** The name in the directory of kept files of a file that loses its last one, and its descriptors. */
  readonly kept?: { readonly name: string; readonly numbers: readonly number[] } | undefined;
}

const OFLAGS_CREATE_EXCLUSIVELY = 1 | 4;

type Open = readonly SavedDescriptor[];

/** Undefined: the call is going to fail, or may be made twice. */
export function intentOf(
  name: string,
  args: Arguments,
  observer: Observer,
  model: DescriptorModel,
): Intent | undefined {
  const at = (fd: number, pointer: number, length: number) =>
    observer.entryAndPlaceAt(Number(args[fd]) >>> 0, Number(args[pointer]), Number(args[length]));
  const entryAt = (fd: number, pointer: number, length: number) =>
    observer.entryAt(Number(args[fd]) >>> 0, Number(args[pointer]), Number(args[length]));
  switch (name) {
    case "path_create_directory":
      return entryAt(0, 1, 2) === undefined ? { name } : undefined;
    case "path_symlink":
      return entryAt(2, 3, 4) === undefined ? { name } : undefined;
    case "path_open": {
      const exclusive = (Number(args[4]) & OFLAGS_CREATE_EXCLUSIVELY) === OFLAGS_CREATE_EXCLUSIVELY;
      return exclusive && entryAt(0, 2, 3) === undefined ? { name } : undefined;
    }
    case "path_link": {
      const entry = entryAt(0, 2, 3);
      const target = at(4, 5, 6);
      return entry === undefined || target.entry !== undefined
        ? undefined
        : { name, source: entry, made: target.place };
    }
    case "path_remove_directory": {
      const { entry, place } = at(0, 1, 2);
      if (entry?.directory !== true) return undefined;
      const after = placedAt(model.descriptors, place).map(
        (descriptor) => ({ ...descriptor, place: undefined }) as SavedDescriptor,
      );
      return { name, source: entry, after: after.length > 0 ? after : undefined };
    }
    case "path_unlink_file": {
      const { entry, place } = at(0, 1, 2);
      if (entry === undefined || entry.directory) return undefined;
      return { name, source: entry, ...keeping(entry, place, observer, model) };
    }
    case "path_rename": {
      const { entry, place } = at(0, 1, 2);
      if (entry === undefined) return undefined;
      const target = at(3, 4, 5);
      const replaced = target.entry?.inode === entry.inode || target.entry?.directory ? undefined : target.entry;
      const { kept, after = [] } = replaced === undefined ? {} : keeping(replaced, target.place, observer, model);
      const moves = place && target.place && { from: place, to: target.place };
      return {
        name,
        source: entry,
        moves,
        kept,
        after: [...after, ...moved(model.descriptors, place, target.place, after)],
      };
    }
    default:
      return undefined;
  }
}

/** As a record has it. Most name nothing but the call and what it takes away, which JSON.stringify takes three times as long for. */
export function textOf(intent: Intent): string {
  const { name, source, after, made, moves, kept } = intent;
  const isPlain = after === undefined && made === undefined && moves === undefined && kept === undefined;
  if (!isPlain) return JSON.stringify(intent);
  if (source === undefined) return `{"name":"${name}"}`;
  return `{"name":"${name}","source":{"device":"${source.device}","inode":"${source.inode}"}}`;
}

/** Whether the call that was meant has been made. */
export function hasHappened({ name, source }: Intent, args: Arguments, observer: Observer): boolean {
  const at = (fd: number, pointer: number, length: number) =>
    observer.entryAt(Number(args[fd]) >>> 0, Number(args[pointer]), Number(args[length]));
  const same = (entry: Entry | undefined) => entry?.inode === source?.inode && entry?.device === source?.device;
  switch (name) {
    case "path_create_directory":
      return at(0, 1, 2)?.directory === true;
    case "path_symlink":
      return at(2, 3, 4) !== undefined;
    case "path_open": {
      const made = at(0, 2, 3);
      return made !== undefined && !made.directory && made.byteLength === 0;
    }
    case "path_link":
      return same(at(4, 5, 6));
    case "path_remove_directory":
    case "path_unlink_file":
      return !same(at(0, 1, 2));
    case "path_rename":
      return !same(at(0, 1, 2)) && same(at(3, 4, 5));
    default:
      return false;
  }
}

/** What an intent that has come true says of names. What it says may come from anybody: IMAGE_DAMAGED. */
export function noteNames({ source, made, moves }: Intent, model: DescriptorModel): void {
  if (made !== undefined) model.linked(String(source?.inode), parsePlace(made));
  if (moves !== undefined) model.renamed(parsePlace(moves.from), parsePlace(moves.to));
}

/** The arguments that do what is left of a call that has been made: its result is asked for, and nothing created. */
export function withoutExclusive(args: Arguments): Arguments {
  return args.map((arg, index) => (index === 4 ? Number(arg) & ~4 : arg));
}

/** IMAGE_DAMAGED. */
export function parseIntent(json: string, path: string): Intent {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {}
  if (typeof value === "object" && value !== null && "name" in value && typeof value.name === "string") {
    const intent = value as Intent; // its descriptors and places are checked when they are used; entries are only compared
    const { kept } = intent;
    if (kept === undefined || (Array.isArray(kept.numbers) && isKeptFile(kept.name))) return intent;
  }
  throw new VermilionError("IMAGE_DAMAGED", `${path}: an intent is malformed; start again with --fresh`);
}

/** The success of a call that has no outputs. */
export const DONE = Errno.SUCCESS;

/** For the descriptors of a file that is about to lose the name at `place`: where it is then. */
function keeping(
  entry: Entry,
  place: Place | undefined,
  observer: Observer,
  model: DescriptorModel,
): Pick<Intent, "kept" | "after"> {
  const open = model.descriptors;
  if (entry.links !== 1) {
    const losing = place === undefined ? [] : placedAt(open, place);
    if (place === undefined || losing.length === 0) return {};
    const known = model.linksTo(entry.inode).find((link) => !samePlace(link, place) && observer.isAt(link, entry));
    const other = known ?? observer.placeBeside(place, entry);
    return other === undefined ? {} : { after: losing.map((one) => ({ ...one, place: other }) as SavedDescriptor) };
  }
  const { kept: name, numbers } = observer.keepOpen(entry);
  if (name === undefined) return {};
  const { device, inode } = entry;
  const after = open
    .filter((descriptor) => numbers.includes(descriptor.number) && descriptor.kind === "file")
    .map(
      (descriptor) =>
        ({
          ...descriptor,
          place: { kept: name },
          facts: undefined,
          identity: { device, inode, links: "0" },
        }) as SavedDescriptor,
    );
  return { kept: { name, numbers }, after };
}

function samePlace(a: Place, b: Place | undefined): boolean {
  if ("kept" in a || b === undefined || "kept" in b) return false;
  return a.guest === b.guest && a.nth === b.nth && a.path === b.path;
}

function placedAt(open: Open, place: Place | undefined): SavedDescriptor[] {
  return open.filter((descriptor) => relativeTo(descriptor, place) === "");
}

/** Where the descriptor is below a place, "" for the place itself; undefined: elsewhere. */
function relativeTo(descriptor: SavedDescriptor, place: Place | undefined): string | undefined {
  if (descriptor.kind !== "file" && descriptor.kind !== "directory") return undefined;
  const own = descriptor.place;
  if (own === undefined || place === undefined || "kept" in own || "kept" in place) return undefined;
  if (own.guest !== place.guest || own.nth !== place.nth) return undefined;
  if (own.path === place.path) return "";
  return own.path.startsWith(`${place.path}/`) ? own.path.slice(place.path.length) : undefined;
}

/** Descriptors whose files move along; not those that `replaced` has already. */
function moved(open: Open, from: Place | undefined, to: Place | undefined, replaced: Open): SavedDescriptor[] {
  if (to === undefined || "kept" in to) return [];
  const done = new Set(replaced.map(({ number }) => number));
  return open.flatMap((descriptor) => {
    const below = relativeTo(descriptor, from);
    if (below === undefined || done.has(descriptor.number)) return [];
    return [{ ...descriptor, place: { ...to, path: `${to.path}${below}` } } as SavedDescriptor];
  });
}
