/**
 * Runs a guest once and says how long: `run()` of the public API, so that neither instrumenting nor compiling is in the time.
 *
 *     node run-process.js '<JSON of Order>'        prints JSON of Timing; the guest's stdout goes to a file
 */
import { openSync } from "node:fs";
import { Images, type Preopen, Process } from "../../runtime/index.js";

export interface Order {
  readonly module: string;
  readonly args: readonly string[];
  readonly stdin: string;
  readonly stdout: string;
  readonly preopens: readonly Preopen[];
  readonly image: string;
  /** Milliseconds between two persistence points; null: none. */
  readonly period: number | null;
  readonly log: boolean;
  /** Epochs that are kept. */
  readonly keep: number;
  readonly exitCode: number;
}

export interface Timing {
  readonly milliseconds: number;
  /** Of the epochs that are kept, ascending. */
  readonly pagesWritten: readonly number[];
}

const order = JSON.parse(process.argv[2] ?? "") as Order;
const guest = await Process.create({
  ...{ module: order.module, args: order.args, preopens: order.preopens, image: order.image },
  stdio: [openSync(order.stdin, "r"), openSync(order.stdout, "w"), 2],
  persistEvery: order.period === null ? {} : { milliseconds: order.period },
  log: order.log,
  keep: { epochs: order.keep, milliseconds: null },
});
const startedAt = performance.now();
const outcome = await guest.run();
const milliseconds = performance.now() - startedAt;
await guest.close();
if (outcome.kind !== "exited" || outcome.status !== order.exitCode) throw new Error(JSON.stringify(outcome));
const pagesWritten = order.keep > 1 ? (await Images.history(order.image)).map((epoch) => epoch.pagesWritten) : [];
const timing: Timing = { milliseconds, pagesWritten };
console.log(JSON.stringify(timing));
