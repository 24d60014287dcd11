/** Servers for the tests: the guest under Vermilion, and memcached itself. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { userInfo } from "node:os";
import { succeeds } from "../../corpus/run-command.js";
import type { Running, Workshop } from "../../support/command-line.js";
import { exampleModule } from "../../support/guests.js";

/** The same call again goes on with the image. */
export function startGuest(
  shop: Workshop,
  image: string,
  port: number,
  options: readonly string[] = [],
  args: readonly string[] = [],
): Running {
  const listen = ["-S", `tcplisten=127.0.0.1:${port}`];
  return shop.start(["run", "--image", image, ...options, ...listen, exampleModule("memcached"), ...args]);
}

export async function stop(server: Running): Promise<void> {
  server.kill("SIGKILL");
  await server.ended;
}

/** Why memcached itself cannot be asked; undefined: it can. */
export const nativeMissing = succeeds(["memcached", "-V"]) ? undefined : "memcached is not installed";

/** memcached itself; the result ends it. */
export function startNative(port: number): () => Promise<void> {
  const user = userInfo().uid === 0 ? ["-u", "root"] : [];
  const args = ["-l", "127.0.0.1", "-p", String(port), "-U", "0", "-t", "1", ...user];
  const child = spawn("memcached", args, { stdio: "ignore" });
  const ended = once(child, "close");
  return async () => {
    child.kill("SIGKILL");
    await ended;
  };
}
