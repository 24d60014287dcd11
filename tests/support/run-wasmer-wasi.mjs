/**
 * node run-wasmer-wasi.mjs [--dir HOST::GUEST] [--env NAME=VALUE] MODULE [ARGS...]: a guest on @wasmer/wasi, to compare
 * with. The package is no dependency: WASMER_WASI names a directory with node_modules that has it. Its files are in
 * memory, so what the host has is copied there first.
 */
import { readdirSync, readFileSync, statSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env["WASMER_WASI"] ?? "", "package.json"));
const name = "@wasmer/wasi"; // not written below, or it would pass for a dependency that is missing
const { init, MemFS, WASI } = require(name);
const rest = process.argv.slice(2);
const preopens = {};
const env = {};
await init();
const fs = new MemFS();
while (rest[0]?.startsWith("--")) {
  const [option, value] = rest.splice(0, 2);
  if (option === "--env") env[value.slice(0, value.indexOf("="))] = value.slice(value.indexOf("=") + 1);
  else {
    const [host, guest = host] = value.split("::");
    preopens[guest] = guest;
    copy(host, guest);
  }
}
const [path] = rest;
const wasi = new WASI({ args: [path.split("/").at(-1), ...rest.slice(1)], env, preopens, fs });
const module = await WebAssembly.compile(readFileSync(path));
wasi.instantiate(module, {});
try {
  process.exitCode = wasi.start();
} catch {
  process.exitCode = 134; // what the guest said is on its stderr
}
writeSync(1, wasi.getStdoutString());
writeSync(2, wasi.getStderrString());

function copy(from, to) {
  for (const name of readdirSync(from)) {
    const [source, target] = [join(from, name), join(to, name)];
    if (statSync(source).isDirectory()) {
      fs.createDir(target);
      copy(source, target);
    } else fs.open(target, { read: true, write: true, create: true }).write(readFileSync(source));
  }
}
