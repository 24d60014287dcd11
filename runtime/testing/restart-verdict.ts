/** Who judges a guest that begins again after a failure, and how its end is taken. */
import { CacheModel, type PersistenceDomain } from "../../pmem/cache-model.js";
import { VermilionError } from "../../pmem/error.js";
import type { Preopen } from "../process/command.js";
import type { Outcome } from "../process/outcome.js";
import type { Program } from "../process/program.js";
import { ExternalKind, typeOfFunction } from "../wasm/module.js";
import { ValueType } from "../wasm/value-types.js";
import { readTree } from "./guest-files.js";
import { RestartRun } from "./restart-run.js";

export const CHECKER_EXPORT = "vermilion_check";
export const ENTRY_EXPORT = "_start";

/** The export that a guest begins with again. */
export interface Checker {
  readonly exportName: string;
  readonly takesPromise: boolean;
}

/** What is wrong with how a guest ended; undefined: nothing. */
export function judge(outcome: Outcome, isCheck: boolean): string | undefined {
  switch (outcome.kind) {
    case "returned": {
      const [result] = outcome.results;
      return isCheck && result !== 0 ? `finds its state inconsistent: the checker returned ${result}` : undefined;
    }
    case "exited":
      return outcome.status === 0 ? undefined : `exits with status ${outcome.status}`;
    case "trapped":
      return `traps: ${outcome.error.message}`;
    case "suspended":
      return "does not end";
  }
}

/** A program that judges the files that another has left. */
export interface FilesChecker {
  readonly program: Program;
  /** Its path, for messages. */
  readonly module: string;
  /** With argv[0]. */
  readonly args: readonly string[];
}

/** What is wrong with some directories; undefined: nothing. The checker has a copy of them, in `folder`. */
export function checkFiles(
  { program, module, args }: FilesChecker,
  preopens: readonly Preopen[],
  options: { readonly domain: PersistenceDomain; readonly folder: string; readonly safepointLimit: number },
): string | undefined {
  const files = { guests: preopens.map(({ guest }) => guest), tree: readTree(preopens) };
  const run = new RestartRun(
    { program, args, env: [], seed: 1, files },
    new CacheModel(options.domain),
    { survived: undefined, promised: 0, folder: options.folder },
    () => undefined,
  );
  const wrong = judge(run.start(ENTRY_EXPORT, [], options.safepointLimit), false);
  return wrong && `leaves files with which ${module} is not content: it ${wrong}`;
}

/** The checker, or the program itself. CHECKER_INVALID, NO_SUCH_EXPORT. */
export function checkerOf(
  { module }: Program,
  {
    checkExport = CHECKER_EXPORT,
    checkerNeeded = false,
  }: { readonly checkExport?: string; readonly checkerNeeded?: boolean },
): Checker {
  const exported = module.exports.find(({ name, kind }) => name === checkExport && kind === ExternalKind.function);
  const index = exported?.index;
  if (index === undefined) {
    if (!checkerNeeded) return { exportName: ENTRY_EXPORT, takesPromise: false };
    throw new VermilionError("NO_SUCH_EXPORT", `the module exports no function named "${checkExport}"`);
  }
  const { params, results } = typeOfFunction(module, index);
  const fits = params.length <= 1 && [...params, ...results].every((type) => type === ValueType.i32);
  if (fits && results.length === 1) return { exportName: checkExport, takesPromise: params.length === 1 };
  throw new VermilionError(
    "CHECKER_INVALID",
    `the export ${checkExport} must be a function int(void) or int(unsigned promised) that returns 0 if all is well`,
  );
}
