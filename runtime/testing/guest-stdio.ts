/**
 * A guest's standard streams: it reads a file, and writes two files of a vessel's folder.
 *
 * Output is the world outside: a failure takes nothing of it back, and what remains says no more of it than how long it was.
 */
import { closeSync, ftruncateSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { libc } from "../wasi/libc.js";
import { openInput } from "./input.js";

const SEEK_SET = 0;
const SEEK_CUR = 1;

export class GuestStdio {
  readonly #folder: string;
  readonly #input: string | undefined;
  #descriptors: [number, number, number] = [-1, -1, -1];

  /** `input`: a file; undefined: nothing to read. */
  constructor(folder: string, input: string | undefined) {
    this.#folder = folder;
    this.#input = input;
  }

  /** Of input, output and errors; -1: none. */
  get descriptors(): [number, number, number] {
    return this.#descriptors;
  }

  /** From the beginning of the input, and behind so much output, which reads as zeros. */
  open(stdoutByteLength: number, stderrByteLength: number): void {
    this.close();
    this.#descriptors = [
      this.#input === undefined ? -1 : openInput(this.#input),
      openSync(join(this.#folder, "stdout"), "w+"),
      openSync(join(this.#folder, "stderr"), "w+"),
    ];
    for (const [descriptor, byteLength] of [
      [this.#descriptors[1], stdoutByteLength],
      [this.#descriptors[2], stderrByteLength],
    ] as const) {
      if (byteLength === 0) continue;
      ftruncateSync(descriptor, byteLength);
      libc().lseek(descriptor, byteLength, SEEK_SET);
    }
  }

  /** Written so far, by this run and those before it. */
  get outputByteLengths(): { readonly stdout: number; readonly stderr: number } {
    const { lseek } = libc();
    return {
      stdout: Number(lseek(this.#descriptors[1], 0, SEEK_CUR)),
      stderr: Number(lseek(this.#descriptors[2], 0, SEEK_CUR)),
    };
  }

  /** All output; what was written before the remains that were loaded is zeros. */
  readOutput(stream: "stdout" | "stderr", from = 0): Buffer {
    return readFileSync(join(this.#folder, stream)).subarray(from);
  }

  close(): void {
    for (const descriptor of this.#descriptors) if (descriptor >= 0) closeSync(descriptor);
    this.#descriptors = [-1, -1, -1];
  }
}
