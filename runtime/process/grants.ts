/**
 * Who says which directories a resumed guest may see, and where it may listen.
 *
 * `run` is told on its command line. `resume <image>` would have to believe the image, which may come from anybody, so
 * a command record carries a MAC under a key that only this user has: what this user granted once is granted again,
 * also after the image was moved or copied; what anybody else wrote into an image grants nothing.
 * docs/rationale.md#grants
 */
import { readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { VermilionError } from "../../pmem/error.js";
import type { Command, Preopen } from "./command.js";
import { cryptography } from "./cryptography.js";
import { contentHash } from "./image/content-hash.js";
import { makeDirectories } from "./image/directories.js";
import type { Image } from "./image/image.js";

const KEY_BYTE_LENGTH = 32;

/** What the host gives a guest beyond its own descriptors 0 to 2. */
export interface Grants {
  readonly preopens: readonly Preopen[];
  readonly listen: readonly string[];
}

/** Undefined: as the image's record has it. */
type Given = { readonly [Part in keyof Grants]: Grants[Part] | undefined };

/** The command as an image records it: with the MAC where something is granted. */
export function recordGrant(command: Command, moduleBytes: Uint8Array): Command & { readonly grant?: string } {
  if (grantsNothing(command)) return command;
  const key = readKey() ?? createKey();
  if (key === undefined) return command;
  return { ...command, grant: macOf(key, command, contentHash(moduleBytes)) };
}

/** What the record grants, if this user put it there, without what is `given` now instead. GRANT_NEEDED. */
export function grantsOf(command: Command, image: Image, given: Given): Grants {
  const grants = { preopens: given.preopens ?? command.preopens, listen: given.listen ?? command.listen };
  const recordedOnly: Grants = {
    preopens: given.preopens === undefined ? command.preopens : [],
    listen: given.listen === undefined ? command.listen : [],
  };
  if (grantsNothing(recordedOnly)) return grants;
  const key = readKey();
  const { path, header, command: recorded } = image;
  const grant = typeof recorded === "object" && recorded !== null && "grant" in recorded ? recorded.grant : undefined;
  if (key !== undefined && typeof grant === "string" && sameText(grant, macOf(key, command, header.moduleSha256))) {
    return grants;
  }
  const options = [
    ...recordedOnly.preopens.map(({ host, guest }) => `--dir ${JSON.stringify(`${host}::${guest}`)}`),
    ...recordedOnly.listen.map((address) => `-S ${JSON.stringify(`tcplisten=${address}`)}`),
  ];
  throw new VermilionError(
    "GRANT_NEEDED",
    `${path}: this image was not made by you on this machine, or without a writable home, so what it wants of this ` +
      `machine is not granted by itself; to grant it: vermilion resume ${options.join(" ")} ${JSON.stringify(path)}`,
  );
}

function grantsNothing({ preopens, listen }: Grants): boolean {
  return preopens.length === 0 && listen.length === 0;
}

/** Over the program too: a grant for one is none for another. */
function macOf(key: Buffer, { preopens, listen }: Command, moduleSha256: string): string {
  const places = preopens.map(({ host, guest }) => [host, guest]);
  const granted = listen.length === 0 ? [moduleSha256, places] : [moduleSha256, places, listen];
  return cryptography().createHmac("sha256", key).update(JSON.stringify(granted)).digest("hex");
}

function sameText(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && cryptography().timingSafeEqual(left, right);
}

function keyDirectory(): string {
  const state = process.env["XDG_STATE_HOME"];
  return join(state === undefined || state === "" ? join(homedir(), ".local", "state") : state, "vermilion");
}

function readKey(): Buffer | undefined {
  try {
    const key = readFileSync(join(keyDirectory(), "grant-key"));
    return key.length === KEY_BYTE_LENGTH ? key : undefined;
  } catch {
    return undefined;
  }
}

/** Without a place for a key the image grants nothing by itself, and `resume` says how to grant. */
function createKey(): Buffer | undefined {
  try {
    makeDirectories(keyDirectory());
    writeFileSync(join(keyDirectory(), "grant-key"), cryptography().randomBytes(KEY_BYTE_LENGTH), {
      mode: 0o600,
      flag: "wx",
    });
  } catch {
    // Another process was faster, or there is no writable home: the next line tells which.
  }
  return readKey();
}
