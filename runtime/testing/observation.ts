/** What somebody outside sees of a whole run, however often its power failed. */
import { createHash } from "node:crypto";
import type { Outcome } from "../process/outcome.js";
import { type FileListing, sameListing } from "./sandbox.js";

export type Ending =
  | { readonly kind: "exited"; readonly status: number }
  | { readonly kind: "trapped"; readonly message: string }
  /** Its results are part of what is seen only when it was called by name. */
  | { readonly kind: "returned" }
  /** It was stopped: it ran far longer than it should. */
  | { readonly kind: "endless"; readonly safepoints: number };

export interface Observation {
  readonly ending: Ending;
  readonly stdout: Uint8Array;
  readonly files: FileListing;
  /** By the guest's path, of regular files; only if somebody wants to see them. */
  readonly contents: ReadonlyMap<string, Uint8Array> | undefined;
}

/** Equal ones cannot be told apart. */
export function digestOf({ ending, stdout, files }: Observation): string {
  const hash = createHash("sha1").update(JSON.stringify([ending, [...files].sort()]));
  return hash.update(stdout).digest("hex");
}

/** What is held against the reference. */
export type Aspect = "stdout" | "exit" | "files";

/** One line of a report each: what differs from the reference. */
export interface Difference {
  readonly aspect: Aspect | "checker" | "check" | "error";
  readonly message: string;
}

export function endingOf(outcome: Outcome, safepoints: number): Ending {
  switch (outcome.kind) {
    case "exited":
      return { kind: "exited", status: outcome.status };
    case "trapped":
      return { kind: "trapped", message: outcome.error.message };
    case "returned":
      return { kind: "returned" };
    case "suspended":
      return { kind: "endless", safepoints };
  }
}

export function describeEnding(ending: Ending): string {
  switch (ending.kind) {
    case "exited":
      return `exits with ${ending.status}`;
    case "trapped":
      return `traps: ${ending.message}`;
    case "returned":
      return "ends normally";
    case "endless":
      return `does not end: ${ending.safepoints} safepoints crossed since the failure`;
  }
}

/** `knownByteLength`: so much of stdout was written before the failure and need not be compared. */
export function compare(
  expected: Observation,
  got: Observation,
  aspects: ReadonlySet<Aspect>,
  knownByteLength: number,
): Difference[] {
  const differences: Difference[] = [];
  if (aspects.has("exit") && !sameEnding(expected.ending, got.ending)) {
    differences.push({
      aspect: "exit",
      message: `it ${describeEnding(got.ending)}; without a failure it ${describeEnding(expected.ending)}`,
    });
  }
  if (aspects.has("stdout")) {
    const from = Math.min(knownByteLength, expected.stdout.length);
    const message = describeBytes(expected.stdout, got.stdout, from);
    if (message !== undefined) differences.push({ aspect: "stdout", message });
  }
  if (aspects.has("files") && !sameListing(expected.files, got.files)) {
    differences.push({ aspect: "files", message: describeFiles(expected.files, got.files) });
  }
  return differences;
}

/** The wording of a trap depends on the tier of the compiler. */
function sameEnding(a: Ending, b: Ending): boolean {
  if (a.kind === "exited" && b.kind === "exited") return a.status === b.status;
  const normal = (ending: Ending) => ending.kind === "returned" || (ending.kind === "exited" && ending.status === 0);
  return a.kind === b.kind || (normal(a) && normal(b));
}

function describeBytes(expected: Uint8Array, got: Uint8Array, from: number): string | undefined {
  const wanted = Buffer.from(expected.buffer, expected.byteOffset, expected.byteLength);
  const there = Buffer.from(got.buffer, got.byteOffset, got.byteLength);
  if (wanted.subarray(from).equals(there.subarray(from))) return undefined;
  let at = from;
  while (at < wanted.length && wanted[at] === there[at]) at++;
  const line = wanted.subarray(0, at).toString("latin1").split("\n").length;
  return `line ${line} (byte ${at}) is ${quoteLine(there, at, from)}; without a failure ${quoteLine(wanted, at, 0)}`;
}

const QUOTED_CHARACTERS = 60;

/** The line around a byte. Bytes before `from` are not there. */
function quoteLine(bytes: Buffer, at: number, from: number): string {
  if (at >= bytes.length) return "missing";
  const start = Math.max(from, bytes.lastIndexOf(10, at - 1) + 1, at - QUOTED_CHARACTERS);
  const newline = bytes.indexOf(10, at);
  const end = Math.min(newline < 0 ? bytes.length : newline, at + QUOTED_CHARACTERS);
  return JSON.stringify(bytes.toString("utf8", start, end));
}

function describeFiles(expected: FileListing, got: FileListing): string {
  const lines: string[] = [];
  for (const path of new Set([...expected.keys(), ...got.keys()])) {
    const [wanted, there] = [expected.get(path), got.get(path)];
    if (wanted !== there) lines.push(`${path}: ${there ?? "missing"}; without a failure ${wanted ?? "missing"}`);
  }
  return lines.slice(0, 3).join("; ") + (lines.length > 3 ? `; and ${lines.length - 3} more` : "");
}
