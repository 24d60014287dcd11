import type { Command } from "commander";
import { Images } from "../index.js";
import { imageAndEpoch } from "./epoch-argument.js";
import type { Messages } from "./messages.js";

export function defineFork(command: Command, messages: Messages): void {
  command
    .description("make a new image that goes on from an epoch of another")
    .argument("<image[@epoch]>", "the image directory, and which of its epochs (default: the current one)")
    .argument("<new>", "the new image directory")
    .option("--quiet", "print nothing but errors")
    .option("--json", "print messages as JSON")
    .action(async (from: string, target: string) => {
      const { image, epoch: at } = imageAndEpoch(from);
      const epoch = await Images.fork(image, target, { at });
      messages.news("forked", `${target} goes on from epoch ${epoch} of ${image}: vermilion resume ${target}`, {
        image: target,
        epoch,
      });
    });
}
