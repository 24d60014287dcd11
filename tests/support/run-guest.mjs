/**
 * Runs a plain, uninstrumented WASI module on our system interface, in this process:
 *
 *   node run-guest.mjs [--library DIR] [--dir HOST::GUEST] [--env NAME=VALUE] [--listen ADDRESS] [--resolver walk]
 *                      [--resume-at-every-call] MODULE [ARGS...]
 *
 * With --resume-at-every-call the state is saved, carried through JSON and restored into a new Wasi before every single
 * call, as if a failure struck there; the old one is closed first, so nothing can lean on it.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values, positionals } = parseArgs({
  args: argumentsWithSeparator(process.argv.slice(2)),
  allowPositionals: true,
  options: {
    library: { type: "string", default: new URL("../../dist/runtime/wasi", import.meta.url).pathname },
    dir: { type: "string", multiple: true, default: [] },
    env: { type: "string", multiple: true, default: [] },
    listen: { type: "string", multiple: true, default: [] },
    resolver: { type: "string", default: "kernel" },
    "resume-at-every-call": { type: "boolean", default: false },
  },
});

/** The guest's own options are not ours: everything after the module is positional. */
function argumentsWithSeparator(all) {
  let index = 0;
  while (index < all.length && all[index].startsWith("--")) {
    index += all[index] === "--resume-at-every-call" ? 1 : 2;
  }
  return [...all.slice(0, index), "--", ...all.slice(index)];
}

const { Wasi, ProcessExit } = await import(join(values.library, "index.js"));
const { libc } = await import(join(values.library, "libc.js"));

const [modulePath] = positionals;
const keepAliveDirectory = mkdtempSync(join(tmpdir(), "vermilion-guest-"));
const options = {
  args: [modulePath.split("/").at(-1), ...positionals.slice(1)],
  env: values.env.map((text) => [text.slice(0, text.indexOf("=")), text.slice(text.indexOf("=") + 1)]),
  preopens: values.dir.map((text) => ({ host: text.split("::")[0], guest: text.split("::")[1] ?? text })),
  stdio: [0, 1, 2],
  listen: values.listen,
  resolver: values.resolver,
  keepAliveDirectory,
  onChangedFile: "fail",
};

let wasi = Wasi.create(options);
const module = await WebAssembly.compile(readFileSync(modulePath));
const imports = {};
for (const { module: from, name } of WebAssembly.Module.imports(module)) {
  const family = from === "wasi_unstable" ? "unstableFunctions" : "functions";
  imports[from] ??= {};
  imports[from][name] = values["resume-at-every-call"]
    ? (...args) => {
        resume();
        return wasi[family][name](...args);
      }
    : wasi[family][name];
}
const instance = await WebAssembly.instantiate(module, imports);
const { memory } = instance.exports;
const environment = {
  memory,
  memoryAddress: libc().addressOf(memory.buffer),
  failurePending: () => false,
  wakeDescriptor: -1,
};
wasi.bind(environment);

function resume() {
  const state = JSON.parse(JSON.stringify(wasi.save({ flush: false })));
  wasi.close();
  wasi = Wasi.restore(options, state);
  wasi.bind(environment);
}

let status = 0;
try {
  instance.exports._start();
} catch (error) {
  if (error instanceof ProcessExit) status = error.status;
  else {
    console.error(error);
    status = 134;
  }
}
rmSync(keepAliveDirectory, { recursive: true, force: true });
process.exitCode = status;
