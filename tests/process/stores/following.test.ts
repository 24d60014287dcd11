import { expect, test, vi } from "vitest";
import { VermilionError } from "../../../pmem/error.js";
import { followEpochs } from "../../../runtime/process/stores/following.js";
import { MemoryStore } from "./memory-store.js";

const { reads, pushes } = vi.hoisted(() => ({
  reads: { value: 0 },
  pushes: [] as (string | undefined)[],
}));
/** A process that ends behind ten looks at its image. */
vi.mock("../../../runtime/process/image/image.js", () => ({
  Image: {
    read: () => ({
      header: { status: "running", state: {}, epoch: 3 },
      holder: reads.value++ < 10 ? { pid: 1 } : undefined,
    }),
  },
}));
vi.mock("../../../runtime/process/stores/pushing.js", () => ({
  pushEpoch: async () => {
    const code = pushes.shift();
    if (code !== undefined) throw new VermilionError(code, code);
    return { epoch: 3, blocks: 1, byteLength: 1 };
  },
}));

test.each([
  ["at once", ["STORE_FAILED", undefined]],
  ["behind an epoch that was dropped before it was read", ["NO_SUCH_EPOCH", "STORE_FAILED", "IMAGE_BUSY", undefined]],
  ["twice", ["STORE_FAILED", "STORE_FAILED", undefined]],
])("a store that fails %s: told once, and tried again", async (_, answers) => {
  reads.value = 0;
  pushes.splice(0, pushes.length, ...answers);
  const failing: string[] = [];
  const pushed: number[] = [];
  await followEpochs("image", new MemoryStore(), {
    failing: ({ code }) => failing.push(code),
    pushed: ({ epoch }) => pushed.push(epoch),
  });
  expect({ failing, pushed }).toEqual({ failing: ["STORE_FAILED"], pushed: [3] });
});
