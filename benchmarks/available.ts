import { Unavailable } from "../tests/corpus/run-command.js";

/** Something that is measured, where it can be had. */
interface Candidate<Ready> {
  readonly name: string;
  /** Throws `Unavailable` with the reason where it cannot be had. */
  prepare(): Ready;
}

/** Those that can be had, by name; the reasons of the others go to `skipped`. */
export function prepareAll<Ready>(
  candidates: readonly Candidate<Ready>[],
  skipped: Record<string, string>,
): Map<string, Ready> {
  const ready = new Map<string, Ready>();
  for (const candidate of candidates) {
    try {
      ready.set(candidate.name, candidate.prepare());
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      skipped[candidate.name] = error.message;
      console.log(`${candidate.name}: skipped: ${error.message}`);
    }
  }
  return ready;
}
