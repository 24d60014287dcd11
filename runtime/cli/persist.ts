import type { Command } from "commander";
import { Process } from "../index.js";
import { milliseconds } from "./guest-options.js";
import type { Messages } from "./messages.js";

interface PersistOptions {
  readonly timeout?: number;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

export function definePersist(command: Command, messages: Messages): void {
  command
    .description("a persistence point for the program that runs in an image: it is saved and goes on")
    .argument("<image>", "its image directory")
    .option("--timeout <duration>", "how long to wait for it (default: 10s)", milliseconds)
    .option("--quiet", "print nothing but errors")
    .option("--json", "print messages as JSON")
    .action(async (image: string, options: PersistOptions) => {
      const { pid, epoch } = await Process.persistHolder(image, { timeoutMilliseconds: options.timeout });
      messages.news("persisted", `process ${pid} is saved as epoch ${epoch} and goes on`, { pid, epoch });
    });
}
