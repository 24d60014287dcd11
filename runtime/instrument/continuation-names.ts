/**
 * The name section of a continuation module: the engine's stack traces then tell its functions from the program's, and which
 * function of the program each of them goes on with.
 */
import type { ByteWriter } from "../wasm/byte-writer.js";
import { SectionId } from "../wasm/module.js";
import { writeSection } from "../wasm/sections.js";

const MODULE_NAME = "continuation";
const SUBSECTION = { module: 0, functions: 1 } as const;

export interface ContinuationNames {
  /** A number that no other module of the same builder has. */
  readonly built: number;
  /** The first function that is not imported. */
  readonly firstFunction: number;
  /** For each function from there on, the program's function that it goes on with. */
  readonly functions: readonly number[];
}

export function writeContinuationNames(out: ByteWriter, { built, firstFunction, functions }: ContinuationNames): void {
  writeSection(out, SectionId.custom, () => {
    out.name("name");
    writeSection(out, SUBSECTION.module, () => out.name(`${MODULE_NAME}${built}`));
    writeSection(out, SUBSECTION.functions, () => {
      out.u32(functions.length);
      functions.forEach((index, i) => {
        out.u32(firstFunction + i);
        out.name(`${index}`);
      });
    });
  });
}

/** The program's function that a name of the engine's for a continuation's function means; undefined: it is none. */
export function continuedFunction(name: string): number | undefined {
  const [, index] = new RegExp(`^${MODULE_NAME}\\d+\\.(\\d+)$`).exec(name) ?? [];
  return index === undefined ? undefined : Number(index);
}

/** The number of the module that the engine means by a URL of one, as in its stack traces; undefined: it is no continuation. */
export function builtModule(url: string): number | undefined {
  const [, built] = new RegExp(`^wasm://wasm/${MODULE_NAME}(\\d+)-[0-9a-f]+$`).exec(url) ?? [];
  return built === undefined ? undefined : Number(built);
}
