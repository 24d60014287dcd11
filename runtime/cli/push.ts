import type { Command } from "commander";
import { Images } from "../index.js";
import { imageAndEpoch } from "./epoch-argument.js";
import { byteText } from "./listing.js";
import type { Messages } from "./messages.js";
import { STORE_FORM, withStore } from "./store-argument.js";

export function definePush(command: Command, messages: Messages): void {
  command
    .description("copy an epoch of an image to a store: what the store has not yet; also while the image is run")
    .argument("<image[@epoch]>", "the image directory, and which of its epochs (default: the current one)")
    .argument("<store>", STORE_FORM)
    .option("--quiet", "print nothing but errors")
    .option("--json", "print messages as JSON")
    .action(async (from: string, to: string, options: { quiet?: boolean; json?: boolean }) => {
      messages.configure(options);
      const { image, epoch: at } = imageAndEpoch(from);
      const pushed = await withStore(to, (store) => Images.push(image, store, { at }));
      const { epoch, blocks, byteLength } = pushed;
      messages.news("pushed", `epoch ${epoch} is in ${to}: ${blocks} new blocks, ${byteText(byteLength)}`, {
        ...pushed,
      });
    });
}
