import { spawn } from "node:child_process";
import { once } from "node:events";
import { linkSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { CREAT, DIRECTORY, eachResolver, TestGuest } from "./test-guest.js";

/** How long each resolver is hammered; the figure in docs/conformance.md comes from 10. */
const SECONDS = Number(process.env["VERMILION_HAMMER_SECONDS"] ?? "1");

const SECRET = "the content of a file outside".padEnd(100, ".");

eachResolver("a racing process and the", (resolver) => {
  test(`${SECONDS} s of attempts: nothing outside is read, made, changed or removed`, {
    timeout: 120_000,
  }, async () => {
    using guest = new TestGuest({ resolver });
    const victim = join(guest.outside, "victim");
    mkdirSync(join(victim, "dir"), { recursive: true });
    writeFileSync(join(victim, "data"), SECRET);
    const { mtimeMs } = statSync(join(victim, "data"));
    writeFileSync(join(victim, "hard"), "shared");
    linkSync(join(victim, "hard"), join(guest.root, "hard")); // a hard link inside is the guest's own file
    symlinkSync(victim, join(guest.root, "absolute"));
    symlinkSync("swap/../../victim/data", join(guest.root, "climb"));
    const swapper = fileURLToPath(new URL("../support/swap-directory.mjs", import.meta.url));
    const racing = spawn(process.execPath, [swapper, guest.root], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      await once(racing.stdout, "data");
      const before = listing(victim);
      let attempts = 0;
      let inside = 0;
      const end = Date.now() + SECONDS * 1000;
      while (Date.now() < end) {
        for (const attempt of attemptsOn(guest)) {
          attempts++;
          const seen = attempt();
          if (seen === "inside") inside++;
          expect(seen).not.toBe(SECRET);
          expect(seen).not.toBe(SECRET.length);
          guest.release();
        }
      }
      expect(listing(victim)).toEqual(before);
      expect(readFileSync(join(victim, "data"), "utf8")).toBe(SECRET);
      expect(statSync(join(victim, "data")).mtimeMs).toBe(mtimeMs);
      console.log(`${resolver}: ${attempts} attempts, ${inside} of them inside, escapes 0`);
    } finally {
      racing.kill("SIGKILL");
      await once(racing, "exit");
    }
  });
});

function listing(directory: string): string[] {
  return readdirSync(directory, { recursive: true }).map(String).sort();
}

/** Each returns what it could read, if anything. */
function attemptsOn(guest: TestGuest): (() => unknown)[] {
  const reading = (path: string) => () => {
    const fd = guest.open(path);
    if (fd < 0) return fd;
    const content = guest.read(fd, 100);
    guest.call("fd_close", fd);
    return content;
  };
  const creating = (path: string) => () => {
    const fd = guest.open(path, { o: CREAT });
    if (fd >= 0) guest.call("fd_close", fd);
    return guest.call("path_unlink_file", 3, ...guest.put(path));
  };
  const opened = () => {
    const directory = guest.open("swap", { o: DIRECTORY });
    if (directory < 0) return directory;
    const fd = guest.open("data", { at: directory });
    guest.call("fd_close", directory);
    if (fd < 0) return fd;
    const content = guest.read(fd, 100);
    guest.call("fd_close", fd);
    return content;
  };
  const size = () => {
    const stat = guest.pathFilestat("swap/data", 1);
    return typeof stat === "number" ? stat : Number(stat.byteLength);
  };
  return [
    reading("swap/data"),
    reading("swap/./data"),
    reading("real/../swap/data"),
    reading("swap/../swap/data"),
    reading("link/data"),
    reading("absolute/data"),
    reading("climb"),
    creating("swap/made"),
    creating("link/made"),
    opened,
    size,
    () => guest.call("path_create_directory", 3, ...guest.put("swap/made-directory")),
    () => guest.call("path_remove_directory", 3, ...guest.put("swap/made-directory")),
    () => guest.call("path_remove_directory", 3, ...guest.put("swap/dir")),
    () => guest.call("path_symlink", ...guest.put("x"), 3, ...guest.put("swap/symbolic")),
    () => guest.call("path_unlink_file", 3, ...guest.put("swap/symbolic")),
    () => guest.call("path_link", 3, 0, ...guest.put("hard"), 3, ...guest.put("swap/linked")),
    () => guest.call("path_unlink_file", 3, ...guest.put("swap/linked")),
    () => guest.call("path_rename", 3, ...guest.put("swap/dir"), 3, ...guest.put("stolen")),
    () => guest.call("path_filestat_set_times", 3, 1, ...guest.put("swap/data"), 0n, 0n, 4),
  ];
}
