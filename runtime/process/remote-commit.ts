/** Commits that the worker has the main thread make: how the order and its end cross between the two. */
import { VermilionError } from "../../pmem/error.js";
import type { ControlBlock } from "./control-block.js";
import { type Commit, type Committer, carryOut } from "./image/commit.js";

/** Worker. `send` reaches the main thread, which answers through the control block: the worker hears no messages. */
export function remoteCommitter(control: ControlBlock, send: (commit: Commit) => void): Committer {
  return {
    start(commit) {
      control.beginCommit();
      send(commit);
    },
    wait() {
      const failure = control.awaitCommit();
      if (failure === undefined) return;
      const [code = "", ...message] = failure.split(" ");
      throw new VermilionError(code, message.join(" "));
    },
  };
}

/** Main thread. Never rejects: the worker is told. */
export async function serveCommit(commit: Commit, control: ControlBlock): Promise<void> {
  try {
    await carryOut(commit);
    control.endCommit();
  } catch (error) {
    const code = error instanceof VermilionError ? error.code : "INTERNAL";
    control.endCommit(`${code} ${error instanceof Error ? error.message : String(error)}`);
  }
}
