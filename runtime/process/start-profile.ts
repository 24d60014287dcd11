/**
 * Which functions a program's starts have had the engine compile. Once a few starts are known, the next ones compile what most of
 * them needed at once, on all processors, instead of each function alone when it is first called. docs/rationale.md#start-profiles
 *
 *     <the form's file>.<engine's version>.<start or resume>
 *                      starts that were seen; for each function its index, without imported ones, and in how many of them
 *                      it was compiled; all 32 bits, little-endian; the CRC-32 of it all
 *
 * Of another form, or damaged: as if there were none. Whatever it says only costs time.
 */
import { fillHintRoom, findHintRoom } from "../wasm/compilation-hints.js";
import { contentOf, withChecksum } from "./cache-files.js";
import { HINT_FORMAT } from "./engine-flags.js";

/** How a program begins: where it goes on, other functions are needed first. */
export type Beginning = "start" | "resume";

/** What a thread of the engine has compiled, as the recorder saw it. */
export interface CompiledFunction {
  /** With imported functions. */
  readonly index: number;
  readonly bodyByteLength: number;
}

/** Starts that are looked at; then the profile is used. */
const STARTS_SEEN = 3;
/** In how many of them a function was needed that the next will need. */
const NEEDED = 2;

export class StartProfile {
  #starts = 0;
  /** Function, to starts: in the order in which they were first compiled. */
  readonly #counts = new Map<number, number>();

  static decode(file: Uint8Array): StartProfile {
    const profile = new StartProfile();
    const content = contentOf(Buffer.from(file.buffer, file.byteOffset, file.byteLength)) ?? Buffer.alloc(0);
    if (content.length % 8 !== 4) return profile;
    profile.#starts = Math.min(content.readUInt32LE(0), STARTS_SEEN);
    for (let at = 4; at < content.length; at += 8) {
      profile.#counts.set(content.readUInt32LE(at), Math.min(content.readUInt32LE(at + 4), profile.#starts));
    }
    return profile;
  }

  encode(): readonly Uint8Array[] {
    const content = Buffer.alloc(4 + 8 * this.#counts.size);
    let at = content.writeUInt32LE(this.#starts);
    for (const [index, count] of this.#counts) at = content.writeUInt32LE(count, content.writeUInt32LE(index, at));
    return withChecksum(content);
  }

  /** Whether it is to see another start. */
  get learns(): boolean {
    return this.#starts < STARTS_SEEN;
  }

  /** `bodies`: as of bodyOffsets. Functions of other modules are told apart by their lengths, as far as it matters. */
  add(compiled: readonly CompiledFunction[], importedFunctions: number, bodies: Uint32Array): void {
    this.#starts++;
    const seen = new Set<number>();
    for (const { index, bodyByteLength } of compiled) {
      const defined = index - importedFunctions;
      if (isBody(bodies, defined, bodyByteLength)) seen.add(defined);
    }
    for (const index of seen) this.#counts.set(index, (this.#counts.get(index) ?? 0) + 1);
  }

  /** What most starts needed; undefined: too few were seen. */
  get needed(): Uint32Array | undefined {
    if (this.learns) return undefined;
    return Uint32Array.from(
      [...this.#counts].filter(([, starts]) => starts >= NEEDED),
      ([index]) => index,
    );
  }
}

/** Says in the form which functions are needed at once; false: there is no room for it. */
export function hint(form: Uint8Array, needed: Uint32Array): boolean {
  const room = findHintRoom(form);
  if (room !== undefined) fillHintRoom(form, room, [...needed], HINT_FORMAT);
  return room !== undefined;
}

/** Between two bodies stands the length of the second, which is a number of up to 32 bits. */
function isBody(bodies: Uint32Array, index: number, byteLength: number): boolean {
  const [from, next] = [bodies[index], bodies[index + 1]];
  if (from === undefined || next === undefined) return false;
  const rest = next - from - byteLength;
  return rest >= 0 && rest <= 5;
}
