/** Results of the embedder's functions as text: JSON has no NaN, no minus zero and no bigint. */
import { VermilionError } from "../../../pmem/error.js";
import type { HostResult } from "../machine-host.js";

export function encodeResults(results: HostResult): string {
  if (results === undefined) return "";
  return Array.isArray(results) ? `[${results.map(encodeOne).join(",")}]` : encodeOne(results as number | bigint);
}

/** IMAGE_DAMAGED. */
export function decodeResults(text: string, path: string): HostResult {
  if (text === "") return undefined;
  if (!text.startsWith("[")) return decodeOne(text, path);
  const inner = text.slice(1, -1);
  return inner === "" ? [] : inner.split(",").map((one) => decodeOne(one, path));
}

function encodeOne(value: number | bigint): string {
  if (typeof value === "bigint") return `i${value}`;
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return `f${bytes.toString("hex")}`;
}

function decodeOne(text: string, path: string): number | bigint {
  if (/^i-?\d{1,20}$/.test(text)) return BigInt.asIntN(64, BigInt(text.slice(1)));
  if (/^f[0-9a-f]{16}$/.test(text)) return Buffer.from(text.slice(1), "hex").readDoubleBE();
  throw new VermilionError(
    "IMAGE_DAMAGED",
    `${path}: the log of its host calls: the results of a host function are malformed; start again with --fresh`,
  );
}
