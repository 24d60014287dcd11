/**
 * Brings node_modules and dist up to date, and does nothing when they are: `npm run setup` stands before every
 * command that needs them. Plain Node, no dependencies: it runs in a fresh clone.
 *
 * node_modules is compared by npm's own record of what it installed; dist by a stamp file that is written only after
 * a build without errors.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
/** What tsconfig.build.json compiles; the benchmarks import the corpus. */
const sourceFolders = ["pmem", "runtime", "guest-examples", "benchmarks", "tests/corpus", "tests/support"];
const stamp = join(root, "dist", ".built");

/** Milliseconds since 1970, or -Infinity where there is no such file. */
function modifiedAt(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Number.NEGATIVE_INFINITY;
}

/** A folder's own time counts too: it changes when a file is removed. */
function newestSource(folder) {
  let newest = modifiedAt(folder);
  if (newest === Number.NEGATIVE_INFINITY) return newest;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) newest = Math.max(newest, newestSource(path));
    else if (entry.name.endsWith(".ts")) newest = Math.max(newest, modifiedAt(path));
  }
  return newest;
}

function step(what, command, args) {
  process.stderr.write(`setup: ${what}\n`);
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ["ignore", 2, 2] });
  if (error !== undefined) process.stderr.write(`setup: ${command}: ${error.message}\n`);
  if (status === 0) return;
  process.stderr.write(`setup: failed: ${command} ${args.join(" ")}\n`);
  process.exit(1);
}

if (modifiedAt(join(root, "node_modules", ".package-lock.json")) < modifiedAt(join(root, "package-lock.json"))) {
  // Not `npm ci`: it refuses a lock that lacks other platforms' optional packages, which a registry may not have.
  const quietly = ["--ignore-scripts", "--no-save", "--no-audit", "--no-fund"];
  step("installing the packages of package-lock.json", "npm", ["install", ...quietly]);
}

const inputs = [
  ...["package-lock.json", "tsconfig.json", "tsconfig.build.json", "rolldown.config.js"].map((name) =>
    modifiedAt(join(root, name)),
  ),
  ...sourceFolders.map((name) => newestSource(join(root, name))),
];
if (modifiedAt(stamp) < Math.max(...inputs)) {
  // Whatever a removed source left behind would otherwise be packed and found by tests.
  if (modifiedAt(stamp) === Number.NEGATIVE_INFINITY) rmSync(join(root, "dist"), { recursive: true, force: true });
  const startedAt = new Date();
  step("building dist", "npm", ["run", "--silent", "build"]);
  chmodSync(join(root, "dist", "runtime", "cli", "main.cjs"), 0o755);
  writeFileSync(stamp, `${startedAt.toISOString()}\n`);
}
