import type { Command } from "commander";
import { Images } from "../index.js";
import type { Messages } from "./messages.js";
import { STORE_FORM, storeAndEpoch, tellDamaged, withOldStore } from "./store-argument.js";

export function definePull(command: Command, messages: Messages): void {
  command
    .description("make a new image of an epoch in a store")
    .argument("<store[@epoch]>", `${STORE_FORM}, and which of its epochs (default: the newest)`)
    .argument("<image>", "the new image directory")
    .option("--quiet", "print nothing but errors")
    .option("--json", "print messages as JSON")
    .action(async (from: string, image: string) => {
      const { store: named, epoch: at } = storeAndEpoch(from);
      const damaged = tellDamaged(messages);
      const epoch = await withOldStore(named, (store) => Images.pull(store, image, { at, damaged }));
      messages.news("pulled", `${image} goes on from epoch ${epoch} of ${named}: vermilion resume ${image}`, {
        image,
        epoch,
      });
    });
}
