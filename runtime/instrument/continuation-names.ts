/**
 * The name section of a continuation module: the engine's stack traces then tell its functions from the program's, and which
 * function of the program each of them goes on with.
 */
import type { ByteWriter } from "../wasm/byte-writer.js";
import { SectionId } from "../wasm/module.js";
import { writeSection } from "./instrument.js";

const MODULE_NAME = "continuation";
const SUBSECTION = { module: 0, functions: 1 } as const;

/** `functions`: of the program, for each function from `first` on. */
export function writeContinuationNames(out: ByteWriter, first: number, functions: readonly number[]): void {
  writeSection(out, SectionId.custom, () => {
    out.name("name");
    writeSection(out, SUBSECTION.module, () => out.name(MODULE_NAME));
    writeSection(out, SUBSECTION.functions, () => {
      out.u32(functions.length);
      functions.forEach((index, i) => {
        out.u32(first + i);
        out.name(`${index}`);
      });
    });
  });
}

/** The program's function that a name of the engine's for a continuation's function means; undefined: it is none. */
export function continuedFunction(name: string): number | undefined {
  const [, index] = new RegExp(`^${MODULE_NAME}\\.(\\d+)$`).exec(name) ?? [];
  return index === undefined ? undefined : Number(index);
}
