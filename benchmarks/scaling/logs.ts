/**
 * The log of host calls, against its records and its bytes: the recovery of a process that was killed, from the start of
 * `vermilion resume` to the guest's next output, less Node's own; and what one more record costs the guest.
 */
import { join } from "node:path";
import { guestModule, runUntil, within } from "../points/running.js";
import { nodeStart } from "../save-and-resume/events.js";
import { isOver, MILLISECONDS, type Question, upTo } from "./series.js";

const SHORT_BYTES = 16;
const LONG_BYTES = 16_384;

const RECOVERY = `${MILLISECONDS}, less Node's start`;

interface Logged {
  /** Milliseconds. */
  readonly recovery: number;
  /** Nanoseconds. */
  readonly call: number;
}

function logged(directory: string, count: number, bytes: number): Promise<Logged> {
  return within(directory, async (scratch) => {
    const image = join(scratch, "image");
    const options = ["run", "--quiet", "--log", "--recovery-target", "none", "--image", image];
    const words = [...options, guestModule("scaling"), "calls", String(count), String(bytes)];
    const { output } = await runUntil(words, "x");
    const node = await nodeStart();
    const { first } = await runUntil(["resume", "--quiet", "--recovery-target", "none", image], "x");
    return { recovery: first - node, call: Number.parseInt(output, 10) };
  });
}

export const logs: Question = {
  name: "log",
  async round(sizes, sink) {
    const { quick, directory } = sizes;
    for (const count of upTo(quick ? 1000 : 3_000_000, 100, 1000, 10_000, 100_000, 1_000_000, 3_000_000)) {
      if (isOver(sizes)) return;
      const { recovery, call } = await logged(directory, count, SHORT_BYTES);
      const x = "records in the log";
      sink.add({ name: "Recovery, records", x, y: RECOVERY, expected: "linear" }, count, recovery);
      sink.add({ name: "One more record", x, y: "ns, the host call with it", expected: "constant" }, count, call);
    }
    for (const mebibytes of upTo(quick ? 1 : 200, 1, 4, 16, 64, 200)) {
      if (isOver(sizes)) return;
      const count = (mebibytes * 2 ** 20) / LONG_BYTES;
      const { recovery } = await logged(directory, count, LONG_BYTES);
      const axes = { x: "MiB of log", y: RECOVERY, expected: "linear" } as const;
      sink.add({ name: "Recovery, bytes", ...axes }, mebibytes, recovery);
    }
  },
};
