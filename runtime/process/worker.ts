/** The worker's entry: one guest, prepared and run as the main thread says. Everything the guest does blocks this thread. */
import { parentPort, resourceLimits, workerData } from "node:worker_threads";
import { invariant } from "../../pmem/error.js";
import { ControlBlock } from "./control-block.js";
import { Guest } from "./guest.js";
import type { Order, PrepareOrder, Report, WorkerData } from "./protocol.js";
import { serializeError } from "./serialized-error.js";
import { needsMoreStack } from "./stack-size.js";

const port = parentPort;
invariant(port !== null, "the worker's entry runs in a worker");
const control = ControlBlock.over((workerData as WorkerData).control);
let guest: Guest | undefined;

const tell = (report: Report): void => port.postMessage(report);

/** What answers an order; between the two, a guest may run for days. */
function carryOut(message: Order): Report {
  if (message.kind === "prepare") return prepare(message.order);
  if (message.kind === "discard") {
    guest?.discard();
    return { kind: "discarded" };
  }
  invariant(guest !== undefined, "a guest is prepared before it runs");
  return { kind: "ended", outcome: guest.run(message.order, () => tell({ kind: "running" })) };
}

function prepare(order: PrepareOrder): Report {
  guest = new Guest(order, control, tell);
  const { command, imagePath, resumes } = guest;
  if (resumes === undefined || !needsMoreStack(resumes.frames, resourceLimits.stackSizeMb ?? 0)) {
    return { kind: "prepared", image: imagePath, command, resumes };
  }
  guest.discard();
  return { kind: "needsStack" };
}

port.on("message", (message: Order) => {
  try {
    tell(carryOut(message));
  } catch (error) {
    tell({ kind: "failed", error: serializeError(error) });
  }
});
