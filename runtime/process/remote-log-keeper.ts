/** The next log, made by the main thread while the guest runs: how the order and its end cross between the two. */
import { carryOutLogChores } from "../../pmem/log-chores.js";
import type { ControlBlock } from "./control-block.js";
import type { LogKeeper } from "./log/run-log.js";
import type { SentChores } from "./protocol.js";

/** Worker. `send` reaches the main thread, which answers through the control block: the worker hears no messages. */
export function remoteKeeper(control: ControlBlock, send: (chores: SentChores) => void): LogKeeper {
  const known = new Set<number>();
  return {
    begin(chores) {
      control.beginChores();
      send(known.has(chores.address) ? { ...chores, memory: undefined } : chores);
      known.add(chores.address);
    },
    end: () => control.awaitChores(),
  };
}

/** Main thread. */
export class LogChoresServer {
  readonly #control: ControlBlock;
  /** The ranges of the logs are ours as well: a thread that dies would give them back while they are being mapped. */
  readonly #ranges: WebAssembly.Memory[] = [];

  constructor(control: ControlBlock) {
    this.#control = control;
  }

  serve({ memory, ...chores }: SentChores): void {
    if (memory !== undefined) this.#ranges.push(memory);
    let made: number | undefined;
    try {
      made = carryOutLogChores(chores);
    } finally {
      this.#control.endChores(made);
    }
  }
}
