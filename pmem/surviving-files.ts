/**
 * The states of a file model that a failure at this instant may leave, named so that each can be asked for again.
 *
 * A name lists what is kept: "n2" the first two changes of names, "n4x0x2" of the first four all but the first and the third;
 * then, for each change of a file's content by its number, "w" all of it, "s" its length alone, "f" its first sector alone, "r"
 * all but the first. "n2-0w-3s". What is not listed is lost.
 */
import { createHash } from "node:crypto";
import { VermilionError } from "./error.js";
import { contentOf, type FileChange, type FileModel, type FileTree } from "./file-model.js";
import { randomNumbers } from "./random-numbers.js";

export interface SurvivingFiles {
  readonly choice: string;
  readonly digest: string;
  readonly tree: FileTree;
}

type Part = "" | "w" | "s" | "f" | "r";

interface Choice {
  /** Kept changes of names, ascending. */
  readonly names: readonly number[];
  readonly parts: readonly Part[];
}

/** At most `limit` states; equal ones once. */
export function* survivingFiles(model: FileModel, limit: number, seed: number): Iterable<SurvivingFiles> {
  const seen = new Set<string>();
  for (const choice of choices(model, limit, seed)) {
    const state = stateOf(model, choice);
    if (seen.has(state.digest)) continue;
    seen.add(state.digest);
    yield state;
  }
}

/** How many states a failure at this instant may leave, equal ones counted. */
export function survivingFilesCount({ names, changes }: FileModel): number {
  return changes.reduce((product, change) => product * optionsOf(change).length, 2 ** names.length);
}

/** BAD_ARGUMENT: no state of this instant has that name. */
export function survivingFilesNamed(model: FileModel, name: string): SurvivingFiles {
  return stateOf(model, parse(model, name));
}

/** What a state does not have, for people. */
export function lostFiles(model: FileModel, name: string): string[] {
  const { names, parts } = parse(model, name);
  const lostNames = model.names.filter((_, index) => !names.includes(index));
  const lost = lostNames.map(({ names: changed }) => {
    return changed.map(([path, entry]) => (entry === undefined ? `removal of ${path}` : `name ${path}`)).join(", ");
  });
  model.changes.forEach((change, index) => {
    const part = parts[index] ?? "";
    if (part === "w") return;
    const bytes = change.pieces.reduce((sum, piece) => sum + piece.bytes.length, 0);
    const what = part === "" ? "" : part === "s" ? ", but not the new length" : ", in part";
    lost.push(`${bytes} bytes at ${change.pieces[0]?.offset ?? change.byteLength} of ${change.path}${what}`);
  });
  return lost;
}

/** Names of states that lose a little less than this one: one change of names, or what was written once. */
export function* milderFiles(model: FileModel, name: string): Iterable<string> {
  const { names, parts } = parse(model, name);
  for (const change of model.names.keys()) {
    if (!names.includes(change)) yield nameOf({ names: [...names, change].sort((a, b) => a - b), parts });
  }
  for (const [index, part] of parts.entries()) if (part !== "w") yield nameOf({ names, parts: parts.with(index, "w") });
}

function* choices(model: FileModel, limit: number, seed: number): Iterable<Choice> {
  const options = model.changes.map(optionsOf);
  if (survivingFilesCount(model) <= limit) {
    const eachName = model.names.map((_, index): (number | undefined)[] => [index, undefined]);
    for (const names of combinations(eachName)) {
      const kept = names.filter((index) => index !== undefined);
      for (const parts of combinations(options)) yield { names: kept, parts };
    }
    return;
  }
  let left = limit;
  for (const choice of likelyChoices(model, options)) {
    if (left-- <= 0) return;
    yield choice;
  }
  const random = randomNumbers(seed);
  for (; left > 0; left--) {
    const names = [...model.names.keys()].filter(() => random() < 0.5);
    yield { names, parts: options.map((of) => of[Math.floor(random() * of.length)] ?? "") };
  }
}

function optionsOf({ pieces, resizes }: FileChange): Part[] {
  const options: Part[] = ["w", ""];
  if (resizes && pieces.length > 0) options.push("s");
  if (pieces.length > 1) options.push("f", "r");
  return options;
}

function* combinations<Item>(options: readonly (readonly Item[])[]): Iterable<Item[]> {
  const [first, ...rest] = options;
  if (first === undefined) {
    yield [];
    return;
  }
  for (const part of first) for (const others of combinations(rest)) yield [part, ...others];
}

/** Everything, nothing, all names without contents, each change alone lost in each way, names up to one, one name alone kept. */
function* likelyChoices(model: FileModel, options: readonly (readonly Part[])[]): Iterable<Choice> {
  const all = options.map((): Part => "w");
  const none = options.map((): Part => "");
  const every = [...model.names.keys()];
  yield { names: every, parts: all };
  yield { names: [], parts: none };
  yield { names: every, parts: none };
  yield { names: [], parts: all };
  for (const [index, of] of options.entries()) {
    for (const part of of) if (part !== "w") yield { names: every, parts: all.with(index, part) };
  }
  for (const lost of every) yield { names: every.filter((change) => change !== lost), parts: all };
  for (const end of every) yield { names: every.slice(0, end), parts: all };
  for (const kept of every) yield { names: [kept], parts: all };
}

function stateOf(model: FileModel, { names, parts }: Choice): SurvivingFiles {
  const keeps = (change: number, part: number | "length"): boolean => {
    const kept = parts[change] ?? "";
    if (part === "length") return kept !== "";
    return kept === "w" || (kept === "f" && part === 0) || (kept === "r" && part !== 0);
  };
  const tree = model.treeAfter((change) => names.includes(change), keeps);
  const hash = createHash("sha1");
  const firstNames = new Map<string, string>();
  for (const [path, entry] of [...tree.entries].sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(`${path}\0${entry.kind}\0`);
    if (entry.kind !== "file") continue;
    const bytes = contentOf(tree, entry.id);
    // One file with two names is another state than two files.
    const firstName = firstNames.get(entry.id) ?? path;
    firstNames.set(entry.id, firstName);
    hash.update(`${firstName}\0${bytes.length}\0`).update(bytes);
  }
  return { choice: nameOf({ names, parts }), digest: hash.digest("hex"), tree };
}

function nameOf({ names, parts }: Choice): string {
  const listed = parts.map((part, index) => (part === "" ? "" : `${index}${part}`)).filter((part) => part !== "");
  const count = (names.at(-1) ?? -1) + 1;
  const without = Array.from({ length: count }, (_, index) => index).filter((index) => !names.includes(index));
  return [`n${count}${without.map((index) => `x${index}`).join("")}`, ...listed].join("-");
}

function parse(model: FileModel, name: string): Choice {
  const [first = "", ...rest] = name.split("-");
  const [, count = "", without = ""] = /^n(\d+)((?:x\d+)*)$/.exec(first) ?? [];
  const lost = without.split("x").slice(1).map(Number);
  const names = [...model.names.keys()].filter((index) => index < Number(count) && !lost.includes(index));
  const parts = model.changes.map((): Part => "");
  let good = count !== "" && Number(count) <= model.names.length && lost.every((index) => index < Number(count));
  for (const text of rest) {
    const [, index, part] = /^(\d+)([wsfr])$/.exec(text) ?? [];
    good &&= Number(index) < parts.length;
    if (good) parts[Number(index)] = part as Part;
  }
  if (good) return { names, parts };
  throw new VermilionError(
    "BAD_ARGUMENT",
    `"${name}" names no state of the files that a failure at this point may leave; take the name and the point from one ` +
      "report, of the same program and arguments",
  );
}
