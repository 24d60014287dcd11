import { FileModel, type FileTree } from "../../../pmem/file-model.js";
import { milderFiles, survivingFilesNamed } from "../../../pmem/surviving-files.js";
import type { Operation } from "./simulated-disk.js";

/** The explorer's model of files and names, fed with what was recorded of an image's life. */
export class RecordedFiles {
  #names = new Map<string, number>();
  #contents = new Map<string, Uint8Array>();
  readonly model = new FileModel({ entries: new Map(), contents: new Map() });

  /** Carries an operation out. Contents are never written over: the model holds them against what comes later. */
  apply(operation: Operation): void {
    switch (operation.kind) {
      case "create":
        this.#names.set(operation.name, operation.file);
        this.#contents.set(`${operation.file}`, new Uint8Array(0));
        break;
      case "write":
        this.#write(operation.file, operation.position, operation.bytes);
        break;
      case "release": {
        const end = Math.min(operation.position + operation.byteLength, this.#content(operation.file).byteLength);
        this.#write(operation.file, operation.position, new Uint8Array(Math.max(0, end - operation.position)));
        break;
      }
      case "rename":
        this.#names.set(operation.to, this.#names.get(operation.from) ?? 0);
        this.#names.delete(operation.from);
        break;
      case "remove":
        this.#names.delete(operation.name);
        break;
      case "sync":
        this.model.syncFile(`${operation.file}`);
        return;
      case "syncDirectory":
        this.model.syncDirectory(".");
        return;
      default:
        return;
    }
    this.model.observe(this.#tree());
  }

  #content(file: number): Uint8Array {
    return this.#contents.get(`${file}`) ?? new Uint8Array(0);
  }

  #write(file: number, position: number, bytes: Uint8Array): void {
    const before = this.#content(file);
    const after = new Uint8Array(Math.max(before.byteLength, position + bytes.byteLength));
    after.set(before);
    after.set(bytes, position);
    this.#contents.set(`${file}`, after);
  }

  #tree(): FileTree {
    const entries = [...this.#names].map(([name, file]) => [name, { kind: "file", id: `${file}` }] as const);
    return { entries: new Map(entries), contents: new Map(this.#contents) };
  }
}

/** Files by name, as a test of remains wants them. */
export function filesOf({ entries, contents }: FileTree): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  for (const [name, entry] of entries) {
    if (entry.kind === "file") files.set(name, contents.get(entry.id) ?? new Uint8Array(0));
  }
  return files;
}

/** Of the states that lose less than this one, and are still wrong, one that loses as little as it can. */
export function mildest(model: FileModel, choice: string, isWrong: (tree: FileTree) => boolean): string {
  for (const name of milderFiles(model, choice)) {
    if (isWrong(survivingFilesNamed(model, name).tree)) return mildest(model, name, isWrong);
  }
  return choice;
}
