import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { systemError, VermilionError } from "../../pmem/error.js";
import { Image } from "./image/image.js";

const LOOK_MILLISECONDS = 10;

/** Sends SIGPWR to the live process that holds an image, if that process takes it; returns its pid. */
export function signalHolder(path: string): number {
  const { pid } = holderOf(path);
  if (!catchesSignal(pid, constants.signals.SIGPWR)) {
    throw new VermilionError(
      "SIGNAL_NOT_TAKEN",
      `${path}: process ${pid} does not take SIGPWR and would die of it; run it with saveOn: ["SIGPWR"]`,
    );
  }
  send(pid, "SIGPWR", path);
  return pid;
}

/** Has the live process that holds an image make a persistence point, and waits for it. */
export async function persistHolder(
  path: string,
  timeoutMilliseconds: number,
): Promise<{ readonly pid: number; readonly epoch: number }> {
  const { pid, persistOn, epoch: before } = holderOf(path);
  const signal = persistOn.find((name): name is NodeJS.Signals => Object.hasOwn(constants.signals, name));
  if (signal === undefined || !catchesSignal(pid, constants.signals[signal])) {
    throw new VermilionError(
      "SIGNAL_NOT_TAKEN",
      `${path}: process ${pid} cannot be asked for a persistence point: it has only just begun, its memory is written ` +
        'in place, or it is a program that runs it without persistOn: ["SIGUSR1"]',
    );
  }
  send(pid, signal, path);
  const deadline = performance.now() + timeoutMilliseconds;
  for (;;) {
    const { header, holder } = Image.read(path);
    if (header.epoch > before) return { pid, epoch: header.epoch };
    if (holder?.pid !== pid) {
      throw new VermilionError("PROCESS_OVER", `${path}: process ${pid} ended before the persistence point`);
    }
    if (performance.now() >= deadline) {
      throw new VermilionError(
        "TIMEOUT",
        `${path}: process ${pid} has made no persistence point in ${timeoutMilliseconds} ms; what it prints may say why`,
      );
    }
    await sleep(LOOK_MILLISECONDS);
  }
}

/** IMAGE_NOT_HELD. */
function holderOf(path: string) {
  const { holder, header } = Image.read(path);
  if (holder?.pid === undefined) {
    throw new VermilionError("IMAGE_NOT_HELD", `${path}: no process runs in this image; vermilion ps shows which do`);
  }
  return { pid: holder.pid, persistOn: holder.persistOn, epoch: header.epoch };
}

function send(pid: number, signal: NodeJS.Signals, path: string): void {
  try {
    process.kill(pid, signal);
  } catch (cause) {
    throw systemError(`signal process ${pid}`, path, cause);
  }
}

/** The mask of caught signals is a line of proc(5), 64 bits in hexadecimal. */
function catchesSignal(pid: number, signal: number): boolean {
  let status: string;
  try {
    status = readFileSync(`/proc/${pid}/status`, "latin1");
  } catch {
    return false;
  }
  const mask = /^SigCgt:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  return mask !== undefined && ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 1n;
}
