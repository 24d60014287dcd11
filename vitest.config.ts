import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: {
    // The public API under its public name, as a user's program imports it: the built files, because a Worker
    // needs a file that Node itself can load.
    alias: {
      "vermilion/testing/vitest": fileURLToPath(new URL("./dist/runtime/testing/vitest.js", import.meta.url)),
      "vermilion/testing": fileURLToPath(new URL("./dist/runtime/testing/index.js", import.meta.url)),
      vermilion: fileURLToPath(new URL("./dist/runtime/index.js", import.meta.url)),
    },
  },
  test: {
    include: ["tests/**/*.test.ts"],
    pool: "forks",
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
