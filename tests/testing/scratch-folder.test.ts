import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test, vi } from "vitest";
import { ScratchFolder } from "../../runtime/testing/scratch-folder.js";
import { root } from "../corpus/paths.js";
import { mainPath } from "../support/command-line.js";

afterEach(() => {
  vi.useRealTimers();
});

function later(milliseconds: number): void {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + milliseconds });
}

describe("ScratchFolder", () => {
  test("removed with all that is in it", () => {
    const folder = new ScratchFolder();
    writeFileSync(join(folder.path, "file"), "");
    folder.remove();
    expect(existsSync(folder.path)).toBe(false);
  });

  test("in use, however old: the next one leaves it alone", () => {
    const used = new ScratchFolder();
    later(3_600_000);
    new ScratchFolder().remove();
    expect(existsSync(used.path)).toBe(true);
    used.remove();
  });
});

interface Exploring {
  readonly folder: string;
  /** Ends the exploration; returns the signal that it died of. */
  end(signal: NodeJS.Signals): Promise<unknown>;
}

async function exploring(): Promise<Exploring> {
  const module = join(root, "guest-examples", "list-push", "list-push.wasm");
  const child = spawn(process.execPath, [mainPath, "explore", "--budget", "60s", "--jobs", "1", module], {
    stdio: "ignore",
  });
  const ended = once(child, "exit");
  const descriptors = `/proc/${child.pid}/fd`;
  for (;;) {
    const folder = readdirSync(descriptors)
      .map((name) => linkOf(join(descriptors, name)))
      .find((path) => /vermilion-guests-[^/]*$/.test(path));
    if (folder !== undefined) {
      const end = async (signal: NodeJS.Signals): Promise<unknown> => {
        child.kill(signal);
        return (await ended)[1];
      };
      return { folder, end };
    }
    await sleep(20);
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

describe("an exploration that is ended", () => {
  test.each(["SIGINT", "SIGTERM"] as const)("by %s: dies of it and leaves no folder", async (signal) => {
    const { folder, end } = await exploring();
    expect(await end(signal)).toBe(signal);
    expect(existsSync(folder)).toBe(false);
  });

  test("by SIGKILL: leaves a folder that the next one removes, once it is not new any more", async () => {
    const { folder, end } = await exploring();
    await end("SIGKILL");
    new ScratchFolder().remove();
    expect(existsSync(folder)).toBe(true);
    later(120_000);
    new ScratchFolder().remove();
    expect(existsSync(folder)).toBe(false);
  });
});
