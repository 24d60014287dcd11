/** node run-node-wasi.mjs [--dir HOST::GUEST] [--env NAME=VALUE] MODULE [ARGS...]: a guest on node:wasi, to compare with. */
import { readFileSync } from "node:fs";
import { WASI } from "node:wasi";

const rest = process.argv.slice(2);
const preopens = {};
const env = {};
while (rest[0]?.startsWith("--")) {
  const [option, value] = rest.splice(0, 2);
  if (option === "--dir") preopens[value.split("::")[1] ?? value] = value.split("::")[0];
  else env[value.slice(0, value.indexOf("="))] = value.slice(value.indexOf("=") + 1);
}
const [path] = rest;
const wasi = new WASI({
  version: "preview1",
  args: [path.split("/").at(-1), ...rest.slice(1)],
  env,
  preopens,
  returnOnExit: true,
});
const module = await WebAssembly.compile(readFileSync(path));
process.exitCode = wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject()));
