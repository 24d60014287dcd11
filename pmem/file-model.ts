/**
 * What a simulated power failure leaves of files and directories: the page cache between calls and the disk, with no more
 * promises than POSIX makes.
 *
 * W1  Names (created, removed, renamed) reach the disk in any order, those of one call together; what a directory that never
 *     reached it holds cannot be seen. A flush of a directory makes durable what calls have changed in there, and nothing else.
 * W2  Contents reach the disk in any order, among themselves and against names: a rename may be there before what was written
 *     into the file that it renames. A file's length may be there without its bytes, which are zeros then. A sector of 512
 *     bytes is whole or not there.
 * W3  A flush of a file makes its content durable, not its name.
 *
 * Real file systems promise more, each something else (ext4 keeps the order of names, btrfs does not). Changes are
 * found by comparing what is there before and after a call, so that bytes written over equal ones count as durable as these.
 */
const SECTOR_BYTE_LENGTH = 512;

/** What a name stands for: a file by its identity, or a directory. */
export type FileEntry = { readonly kind: "file"; readonly id: string } | { readonly kind: "directory" };

/** Everything that is there: entries by path, contents by identity. */
export interface FileTree {
  readonly entries: ReadonlyMap<string, FileEntry>;
  readonly contents: ReadonlyMap<string, Uint8Array>;
}

/** Names that one call changed; undefined: removed. */
interface NameChange {
  readonly names: readonly (readonly [path: string, entry: FileEntry | undefined])[];
}

/** What one call changed in one file. Pieces are runs of bytes that end at a sector's end; without any, only the length. */
export interface FileChange {
  readonly id: string;
  readonly path: string;
  readonly byteLength: number;
  readonly pieces: readonly { readonly offset: number; readonly bytes: Uint8Array }[];
  readonly resizes: boolean;
}

export class FileModel {
  #now: FileTree;
  /** On the disk for sure, whatever happens. */
  readonly #entries: Map<string, FileEntry>;
  readonly #contents: Map<string, Uint8Array>;
  #names: NameChange[] = [];
  #changes: FileChange[] = [];
  /** Paths that were ever directories' names; those that were granted have none. */
  readonly #directories = new Set<string>();

  /** All of it is durable. */
  constructor(tree: FileTree) {
    this.#now = tree;
    for (const [path, { kind }] of tree.entries) if (kind === "directory") this.#directories.add(path);
    this.#entries = new Map(tree.entries);
    this.#contents = new Map([...tree.contents].map(([id, bytes]) => [id, bytes.slice()]));
  }

  get names(): readonly NameChange[] {
    return this.#names;
  }

  get changes(): readonly FileChange[] {
    return this.#changes;
  }

  /** Takes what a call has left. Whether it changed anything. */
  observe(now: FileTree): boolean {
    const before = this.#now;
    this.#now = now;
    const names: [string, FileEntry | undefined][] = [];
    for (const path of before.entries.keys()) if (!now.entries.has(path)) names.push([path, undefined]);
    for (const [path, entry] of now.entries) {
      if (sameEntry(before.entries.get(path), entry)) continue;
      names.push([path, entry]);
      if (entry.kind === "directory") this.#directories.add(path);
    }
    const count = this.#changes.length;
    for (const [path, entry] of now.entries) {
      if (entry.kind !== "file") continue;
      const bytes = contentOf(now, entry.id);
      const change = difference(entry.id, path, before.contents.get(entry.id) ?? new Uint8Array(0), bytes);
      if (change !== undefined) this.#changes.push(change);
    }
    if (names.length > 0) this.#names.push({ names });
    return names.length > 0 || this.#changes.length > count;
  }

  /** What a path stands for at the moment. */
  entryAt(path: string): FileEntry | undefined {
    return this.#now.entries.get(path);
  }

  /** W3. */
  syncFile(id: string): void {
    const left: FileChange[] = [];
    for (const change of this.#changes) {
      if (change.id !== id) left.push(change);
      else
        this.#contents.set(
          id,
          applied(this.#contents.get(id) ?? new Uint8Array(0), change, () => true),
        );
    }
    this.#changes = left;
  }

  /** W1. */
  syncDirectory(path: string): void {
    const left: NameChange[] = [];
    const settled = new Set<string>();
    // The newest first: what a later change of the same name has made durable, an earlier one no longer undoes.
    for (const { names } of this.#names.toReversed()) {
      const open = names.filter(([name]) => !settled.has(name));
      if (!names.some(([name]) => parentOf(name) === path)) {
        if (open.length > 0) left.unshift({ names: open });
        continue;
      }
      applyNames(this.#entries, open);
      for (const [name] of names) settled.add(name);
    }
    this.#names = left;
  }

  /**
   * The tree on the disk after a failure: of the changes of names those that `keepsNames` says, and of each change of a file
   * what `keeps` says; `length` stands for the file's length, a number for a piece.
   */
  treeAfter(
    keepsNames: (change: number) => boolean,
    keeps: (change: number, part: number | "length") => boolean,
  ): FileTree {
    const entries = new Map(this.#entries);
    this.#names.forEach(({ names }, index) => {
      if (keepsNames(index)) applyNames(entries, names);
    });
    this.#removeLost(entries);
    const contents = new Map(this.#contents);
    this.#changes.forEach((change, index) => {
      const content = contents.get(change.id) ?? new Uint8Array(0);
      contents.set(
        change.id,
        applied(content, change, (part) => keeps(index, part)),
      );
    });
    return { entries, contents };
  }

  /** Names in directories that are not there. */
  #removeLost(entries: Map<string, FileEntry>): void {
    const isLost = (path: string): boolean => {
      const parent = parentOf(path);
      return this.#directories.has(parent) && (entries.get(parent)?.kind !== "directory" || isLost(parent));
    };
    for (const path of [...entries.keys()].filter(isLost)) entries.delete(path);
  }
}

/** Empty for a file of whose content nothing ever reached the disk. */
export function contentOf({ contents }: FileTree, id: string): Uint8Array {
  return contents.get(id) ?? new Uint8Array(0);
}

function applyNames(entries: Map<string, FileEntry>, names: NameChange["names"]): void {
  for (const [path, entry] of names) {
    if (entry === undefined) entries.delete(path);
    else entries.set(path, entry);
  }
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  if (slash < 0) return ".";
  return slash === 0 ? "/" : path.slice(0, slash);
}

function sameEntry(a: FileEntry | undefined, b: FileEntry): boolean {
  if (a?.kind === "file" && b.kind === "file") return a.id === b.id;
  return a?.kind === b.kind;
}

/** W2. */
function applied(content: Uint8Array, change: FileChange, keeps: (part: number | "length") => boolean): Uint8Array {
  const kept = change.pieces.filter((_, index) => keeps(index));
  // Bytes that are there take the length with them.
  let byteLength = change.resizes && keeps("length") ? change.byteLength : content.length;
  for (const { offset, bytes } of kept) byteLength = Math.max(byteLength, offset + bytes.length);
  const result = new Uint8Array(byteLength);
  result.set(content.subarray(0, byteLength));
  for (const { offset, bytes } of kept) result.set(bytes, offset);
  return result;
}

function difference(id: string, path: string, before: Uint8Array, now: Uint8Array): FileChange | undefined {
  const resizes = before.length !== now.length;
  let from = 0;
  while (from < now.length && from < before.length && before[from] === now[from]) from++;
  let to = now.length;
  if (!resizes) while (to > from && before[to - 1] === now[to - 1]) to--;
  if (from >= to && !resizes) return undefined;
  const pieces: { offset: number; bytes: Uint8Array }[] = [];
  for (let at = from; at < to; ) {
    const end = Math.min(to, (Math.floor(at / SECTOR_BYTE_LENGTH) + 1) * SECTOR_BYTE_LENGTH);
    pieces.push({ offset: at, bytes: now.slice(at, end) });
    at = end;
  }
  return { id, path, byteLength: now.length, pieces, resizes };
}
