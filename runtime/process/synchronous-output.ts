import { writeSync } from "node:fs";
import { errorName } from "../../pmem/error.js";

/**
 * What host functions print is written when they print it. Node's streams of a Worker hand it to the main thread in messages, all but the
 * first of which wait for the Worker's event loop: a guest does not come back to it, and a thread that is ended has none.
 */
export function printAtOnce(): void {
  for (const [stream, descriptor] of [
    [process.stdout, 1],
    [process.stderr, 2],
  ] as const) {
    stream._write = (chunk: string | Buffer, encoding, done) => {
      writeWhole(descriptor, typeof chunk === "string" ? Buffer.from(chunk, encoding) : chunk);
      done();
    };
    stream._writev = (chunks, done) => {
      for (const { chunk, encoding } of chunks) stream._write(chunk, encoding, () => {});
      done();
    };
  }
}

function writeWhole(descriptor: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(descriptor, bytes, at);
    } catch (error) {
      if (errorName(error) !== "EAGAIN") return; // nobody reads it any more
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1); // a pipe that is full
    }
  }
}
