/**
 * node swap-directory.mjs ROOT: until killed, makes ROOT/swap a directory, a symlink to ../victim, and a directory again,
 * each by one rename, so that at every moment it is one of the two.
 */
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = process.argv[2];
const at = (name) => join(root, name);
mkdirSync(at("real"), { recursive: true });
writeFileSync(at("real/data"), "inside");
symlinkSync("../victim", at("link"));
process.stdout.write("ready\n");
for (;;) {
  renameSync(at("real"), at("swap"));
  renameSync(at("swap"), at("real"));
  renameSync(at("link"), at("swap"));
  renameSync(at("swap"), at("link"));
  rmSync(at("spare"), { force: true });
}
