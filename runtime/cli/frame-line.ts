import type { FrameInspection } from "../index.js";

/** A frame of a saved stack on one line; `index` counts from the innermost. */
export function frameLine({ stack, name, functionIndex, offset, source }: FrameInspection, index: number): string {
  const where = offset === null ? "host call" : (source ?? `at 0x${offset.toString(16)}`);
  const label = name ?? `function ${functionIndex}`;
  return `#${index} ${label} ${where}${stack === "entry" ? "" : ` (${stack})`}`;
}
