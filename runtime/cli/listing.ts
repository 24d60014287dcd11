/** How listings read; they are the only commands that write to stdout. */
import { writeSync } from "node:fs";
import type { ImageSummary } from "../index.js";

/** A reader that has seen enough, as `head`, is no error. */
export function print(text: string): void {
  const bytes = Buffer.from(`${text}\n`);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "EAGAIN") continue;
      return;
    }
  }
}

export function statusText({ status, heldBy, exitStatus, trap, problem }: ImageSummary): string {
  switch (status) {
    case "finished":
      return `finished, exit status ${exitStatus}`;
    case "trapped":
      return `trapped: ${trap}`;
    case "running":
      return `running, process ${heldBy ?? "unknown"}`;
    case "killed":
      return "killed: it can go on from its last save";
    case "lost":
      return "lost: it was killed without a save that it could go on from";
    case "unreadable":
      return `unreadable: ${problem}`;
    case "saved":
      return heldBy === null ? "saved" : `saved, about to be resumed by process ${heldBy}`;
  }
}

/** As it could be typed. */
export function commandText({ command }: ImageSummary): string {
  if (command === null) return "";
  const { module, args, preopens, listen, invoke } = command;
  const options = [
    ...preopens.flatMap(({ host, guest }) => ["--dir", host === guest ? host : `${host}::${guest}`]),
    ...listen.flatMap((address) => ["-S", `tcplisten=${address}`]),
    ...(invoke === null ? [] : ["--invoke", invoke]),
  ];
  return [...options, module, ...args.slice(1)].map(quoted).join(" ");
}

function quoted(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

export function byteText(byteLength: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  const step = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, byteLength)) / 10));
  const value = byteLength / 1024 ** step;
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[step]}`;
}
