/** How listings read; they are the only commands that write to stdout. */
import { writeSync } from "node:fs";
import { type ImageSummary, VermilionError } from "../index.js";
import { plainLine, plainLines, quoted } from "./plain-text.js";

/** How long a pipe is left to its reader when it is full and does not block. */
const FULL_PIPE_MILLISECONDS = 1;

/** A reader that has seen enough, as `head`, is no error. DISK_FULL, IO_ERROR. */
export function print(text: string): void {
  const bytes = Buffer.from(`${plainLines(text)}\n`);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at);
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      if (code === "EPIPE") return;
      if (code !== "EAGAIN") throw unwritten(code, cause);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_PIPE_MILLISECONDS);
    }
  }
}

function unwritten(code: string | undefined, cause: unknown): VermilionError {
  const reason = `stdout: cannot write: ${code ?? String(cause)}`;
  return code === "ENOSPC"
    ? new VermilionError("DISK_FULL", `${reason}, the disk has no room left; free some space`, { cause })
    : new VermilionError("IO_ERROR", `${reason}; check where it leads`, { cause });
}

export function statusText({ status, heldBy, exitStatus, trap, problem }: ImageSummary): string {
  switch (status) {
    case "finished":
      return `finished, exit status ${exitStatus}`;
    case "trapped":
      return `trapped: ${plainLine(trap ?? "")}`;
    case "running":
      return `running, process ${heldBy ?? "unknown"}`;
    case "killed":
      return "killed: it can go on from its last save";
    case "lost":
      return "lost: it was killed without a save that it could go on from";
    case "unreadable":
      return `unreadable: ${plainLine(problem ?? "")}`;
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

export function byteText(byteLength: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  const step = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, byteLength)) / 10));
  const value = byteLength / 1024 ** step;
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[step]}`;
}
