import { join } from "node:path";
import { expect, test } from "vitest";
import { Image } from "../../../runtime/process/image/image.js";
import { FACTS, MODULE, PAGE, savedBytes, scratchDirectory, stateOf, VERSION } from "./support.js";

/** More than the 2 GiB that one system call takes, and than 32 bits with a sign hold. */
const GIBIBYTES = 2.5;

test.skipIf(process.env["VERMILION_LARGE"] !== "1")(
  `${GIBIBYTES} GiB of memory, all of it written (with VERMILION_LARGE=1): saved, and resumed byte for byte`,
  { timeout: 300_000 },
  () => {
    const path = join(scratchDirectory(), "image");
    const pages = GIBIBYTES * 2 ** 14;
    const image = Image.create(path, { moduleBytes: MODULE, command: {}, ...VERSION });
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    const backing = image.createMemory();
    backing.grow(pages * PAGE);
    backing.attach(memory, pages * PAGE);
    const words = new Uint32Array(memory.buffer);
    for (let at = 0; at < words.length; at += 256) words[at] = at + 1;
    image.markRunning();
    image.commit(stateOf(1), FACTS);
    image.close();
    const again = Image.open(path, VERSION);
    const bytes = savedBytes(again, 0, pages, pages);
    const found = new Uint32Array(bytes.buffer);
    for (let at = 0; at < found.length; at += 256)
      if (found[at] !== at + 1) throw new Error(`word ${at}: ${found[at]}`);
    expect(again.readState()).toEqual(stateOf(1));
    again.close();
  },
);
