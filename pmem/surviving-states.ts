/**
 * The states of persistent memory that a failure at this instant may leave, named so that each can be asked for again.
 *
 * A state takes of every dirty line its first stores, and of the next one perhaps some words. A small number of states is
 * given whole. Of a larger one come first those in which programs that are wrong are mostly found out (all stores up to one
 * of them; one line alone lost, or alone kept), then others by seed.
 *
 * A choice's name lists what each dirty line keeps, by the line's place among the dirty ones: "0.3" is the first three
 * stores of line 0; "2.1w5" its first store and, of the second, the words with the bits of 5. Lines that are not listed
 * keep nothing; "all" keeps everything, "none" nothing.
 */
import { createHash } from "node:crypto";
import type { CacheModel, LineStore, Piece } from "./cache-model.js";
import { VermilionError } from "./error.js";
import { randomNumbers } from "./random-numbers.js";

interface SurvivingRange {
  readonly address: number;
  readonly bytes: Uint8Array;
}

export interface SurvivingState {
  readonly choice: string;
  /** Of addresses and bytes. */
  readonly digest: string;
  readonly ranges: readonly SurvivingRange[];
}

/** What one line keeps: whole stores, and words of the next by bit. */
interface Kept {
  readonly stores: number;
  readonly words: number;
}

type Choice = readonly Kept[];

const NOTHING: Kept = { stores: 0, words: 0 };

/** At most `limit` states; equal ones, by their bytes, once. */
export function* survivingStates(model: CacheModel, limit: number, seed: number): Iterable<SurvivingState> {
  const lines = model.dirtyLines();
  const seen = new Set<string>();
  for (const choice of choices(lines, limit, seed)) {
    const state = stateOf(model, lines, choice);
    if (seen.has(state.digest)) continue;
    seen.add(state.digest);
    yield state;
  }
}

/** How many states a failure at this instant may leave, equal ones counted. */
export function survivingStateCount(model: CacheModel): number {
  return model.dirtyLines().reduce((product, stores) => product * optionsOf(stores).length, 1);
}

/** Of all that decides which states a failure at this instant may leave: equal ones leave the same. */
export function instantDigest(model: CacheModel): string {
  const hash = createHash("sha1");
  for (const { address, medium } of model.ranges) hash.update(`${address}+${medium.length}:`).update(medium);
  for (const stores of model.dirtyLines()) {
    hash.update("line");
    for (const { pieces } of stores) {
      hash.update("store");
      for (const { address, bytes } of pieces) hash.update(`${address}+${bytes.length}:`).update(bytes);
    }
  }
  return hash.digest("hex");
}

/** BAD_ARGUMENT: no state of this instant has that name. */
export function survivingState(model: CacheModel, name: string): SurvivingState {
  const lines = model.dirtyLines();
  return stateOf(model, lines, parseChoice(lines, name));
}

/** The parts of stores, by line, that a state does not have, oldest first. */
export function lostStores(
  model: CacheModel,
  name: string,
): { sequence: number; address: number; byteLength: number }[] {
  const lines = model.dirtyLines();
  const choice = parseChoice(lines, name);
  const lost = lines.flatMap((stores, line) => {
    const { stores: kept, words } = choice[line] ?? NOTHING;
    return stores.slice(kept).flatMap(({ sequence, pieces }, index) => {
      const missing = pieces.filter((_, word) => index > 0 || ((words >> word) & 1) === 0);
      const byteLength = missing.reduce((sum, { bytes }) => sum + bytes.length, 0);
      return [{ sequence, address: missing[0]?.address ?? 0, byteLength }];
    });
  });
  return lost.sort((a, b) => a.sequence - b.sequence);
}

/** Names of states that lose a little less than this one: a line's losses whole, or one store of them. */
export function* milderStates(model: CacheModel, name: string): Iterable<string> {
  const lines = model.dirtyLines();
  const choice = parseChoice(lines, name);
  for (const [line, stores] of lines.entries()) {
    const kept = (choice[line] ?? NOTHING).stores;
    if (kept === stores.length) continue;
    yield nameOf(lines, replaced(choice, line, { stores: stores.length, words: 0 }));
    if (kept + 1 < stores.length) yield nameOf(lines, replaced(choice, line, { stores: kept + 1, words: 0 }));
  }
}

function* choices(lines: readonly (readonly LineStore[])[], limit: number, seed: number): Iterable<Choice> {
  const options = lines.map(optionsOf);
  const count = options.reduce((product, { length }) => product * length, 1);
  if (count <= limit) {
    yield* combinations(options);
    return;
  }
  let left = limit;
  for (const choice of likelyChoices(lines, options, limit)) {
    if (left-- <= 0) return;
    yield choice;
  }
  const random = randomNumbers(seed);
  for (; left > 0; left--) yield options.map((of) => of[Math.floor(random() * of.length)] ?? NOTHING);
}

/** Everything first, nothing last. */
function* combinations(options: readonly (readonly Kept[])[]): Iterable<Choice> {
  const [first, ...rest] = options;
  if (first === undefined) {
    yield [];
    return;
  }
  for (let i = first.length - 1; i >= 0; i--) {
    for (const others of combinations(rest)) yield [first[i] as Kept, ...others];
  }
}

/** Least first. */
function optionsOf(stores: readonly LineStore[]): Kept[] {
  const options: Kept[] = [];
  stores.forEach(({ pieces }, index) => {
    options.push({ stores: index, words: 0 });
    for (let words = 1; words < 2 ** pieces.length - 1; words++) options.push({ stores: index, words });
  });
  options.push({ stores: stores.length, words: 0 });
  return options;
}

function* likelyChoices(
  lines: readonly (readonly LineStore[])[],
  options: readonly (readonly Kept[])[],
  limit: number,
): Iterable<Choice> {
  const all = lines.map(({ length }) => ({ stores: length, words: 0 }));
  yield all;
  yield lines.map(() => NOTHING);
  const sequences = [...new Set(lines.flat().map(({ sequence }) => sequence))].sort((a, b) => a - b);
  for (const sequence of evenly(sequences, limit / 4)) yield lines.map((stores) => upTo(stores, sequence));
  const numbers = evenly([...lines.keys()], limit / 8);
  for (const line of numbers) yield replaced(all, line, NOTHING);
  for (const line of numbers)
    yield replaced(
      lines.map(() => NOTHING),
      line,
      all[line] as Kept,
    );
  for (const line of numbers) {
    // The line's last store alone is lost, or torn.
    const last = (options[line] ?? []).filter(({ stores }) => stores === (lines[line]?.length ?? 0) - 1);
    for (const kept of evenly(last, 4)) yield replaced(all, line, kept);
  }
}

function upTo(stores: readonly LineStore[], sequence: number): Kept {
  const later = stores.findIndex((store) => store.sequence > sequence);
  return { stores: later < 0 ? stores.length : later, words: 0 };
}

function replaced(choice: Choice, line: number, kept: Kept): Choice {
  return choice.map((other, index) => (index === line ? kept : other));
}

/** At most `count` of them, spread over all. */
function evenly<Item>(items: readonly Item[], count: number): readonly Item[] {
  const most = Math.max(1, Math.floor(count));
  if (items.length <= most) return items;
  return Array.from({ length: most }, (_, i) => items[Math.floor(((i + 1) * items.length) / most) - 1] as Item);
}

function stateOf(model: CacheModel, lines: readonly (readonly LineStore[])[], choice: Choice): SurvivingState {
  const ranges = model.ranges.map(({ address, medium }) => ({ address, bytes: medium.slice() }));
  lines.forEach((stores, index) => {
    const kept = choice[index] ?? NOTHING;
    for (let i = 0; i < kept.stores; i++) for (const piece of stores[i]?.pieces ?? []) put(ranges, piece);
    stores[kept.stores]?.pieces.forEach((piece, word) => {
      if (((kept.words >> word) & 1) === 1) put(ranges, piece);
    });
  });
  const hash = createHash("sha1");
  for (const { address, bytes } of ranges) hash.update(`${address}+${bytes.length}:`).update(bytes);
  return { choice: nameOf(lines, choice), digest: hash.digest("hex"), ranges };
}

function put(ranges: readonly SurvivingRange[], { address, bytes }: Piece): void {
  for (const range of ranges) {
    const at = address - range.address;
    if (at >= 0 && at < range.bytes.length) range.bytes.set(bytes, at);
  }
}

function nameOf(lines: readonly (readonly LineStore[])[], choice: Choice): string {
  const isNothing = ({ stores, words }: Kept): boolean => stores === 0 && words === 0;
  if (choice.every(isNothing)) return "none";
  if (choice.every(({ stores }, index) => stores === lines[index]?.length)) return "all";
  return choice
    .map((kept, line) => (isNothing(kept) ? "" : `${line}.${kept.stores}${kept.words === 0 ? "" : `w${kept.words}`}`))
    .filter((part) => part !== "")
    .join("-");
}

function parseChoice(lines: readonly (readonly LineStore[])[], name: string): Choice {
  if (name === "all") return lines.map(({ length }) => ({ stores: length, words: 0 }));
  const choice: Kept[] = lines.map(() => NOTHING);
  if (name === "none") return choice;
  for (const part of name.split("-")) {
    const match = /^(\d+)\.(\d+)(?:w(\d+))?$/.exec(part);
    const line = Number(match?.[1] ?? -1);
    const kept: Kept = { stores: Number(match?.[2]), words: Number(match?.[3] ?? 0) };
    const stores = lines[line];
    if (match === null || stores === undefined || kept.stores > stores.length) {
      throw new VermilionError(
        "BAD_ARGUMENT",
        `"${name}" names no state that a failure at this point may leave: ${part} fits none of its ${lines.length} dirty ` +
          "lines; take the name and the point from one report, of the same program and arguments",
      );
    }
    choice[line] = kept;
  }
  return choice;
}
