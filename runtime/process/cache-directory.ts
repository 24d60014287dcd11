import { homedir } from "node:os";
import { join } from "node:path";

/** Where instrumented modules are kept, unless somebody says otherwise. */
export function cacheDirectory(): string {
  const { XDG_CACHE_HOME: cache } = process.env;
  return join(cache === undefined || cache === "" ? join(homedir(), ".cache") : cache, "vermilion");
}
