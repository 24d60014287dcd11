/**
 * How much stack a worker gets. Node 20 to 26 reserve what is asked for (4 GiB too) and the kernel backs what is used, so
 * a long stack costs nothing until a guest recurses; it only decides how deep a runaway recursion goes before it traps.
 */
export const STACK_MEGABYTES = {
  /** For guests that start, and for resumes of ordinary depth. */
  usual: 256,
  /** The frames of continuations can be longer than those of the functions they go on with. */
  deepResume: 1024,
} as const;

/** 256 MiB hold this many frames of 12 KiB; compiled frames are mostly below 1 KiB. */
const USUAL_FRAMES = 20_000;

export function needsMoreStack(frames: number, megabytes: number): boolean {
  return frames > USUAL_FRAMES && megabytes < STACK_MEGABYTES.deepResume;
}
