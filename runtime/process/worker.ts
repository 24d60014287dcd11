/** The worker's entry: one guest, prepared and run as the main thread says. Everything the guest does blocks this thread. */
import { parentPort, resourceLimits, workerData } from "node:worker_threads";
import { invariant } from "../../pmem/error.js";
import { ControlBlock } from "./control-block.js";
import { Guest } from "./guest.js";
import type { Order, Report, WorkerData } from "./protocol.js";
import { serializeError } from "./serialized-error.js";
import { needsMoreStack } from "./stack-size.js";

const port = parentPort;
invariant(port !== null, "the worker's entry runs in a worker");
const control = ControlBlock.over((workerData as WorkerData).control);
let guest: Guest | undefined;

const tell = (report: Report): void => port.postMessage(report);

port.on("message", (message: Order) => {
  try {
    if (message.kind === "run") {
      invariant(guest !== undefined, "a guest is prepared before it runs");
      const outcome = guest.run(message.order, () => tell({ kind: "running" }));
      tell({ kind: "ended", outcome });
      return;
    }
    guest = new Guest(message.order, control, tell);
    const { command, imagePath, resumes } = guest;
    if (resumes !== undefined && needsMoreStack(resumes.frames, resourceLimits.stackSizeMb ?? 0)) {
      guest.close();
      tell({ kind: "needsStack" });
    } else {
      tell({ kind: "prepared", image: imagePath, command, resumes });
    }
  } catch (error) {
    tell({ kind: "failed", error: serializeError(error) });
  }
});
