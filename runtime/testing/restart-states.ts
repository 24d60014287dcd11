/** What a failure may leave of a run: of its persistent memory and of its files, each by itself. */
import type { FileTree } from "../../pmem/file-model.js";
import { milderFiles, survivingFiles, survivingFilesCount, survivingFilesNamed } from "../../pmem/surviving-files.js";
import {
  milderStates,
  type SurvivingState,
  survivingState,
  survivingStateCount,
  survivingStates,
} from "../../pmem/surviving-states.js";
import type { RestartRun } from "./restart-run.js";

export interface Survived {
  /** "all", or with files "all_n2-0w". */
  readonly choice: string;
  readonly digest: string;
  readonly memory: SurvivingState;
  readonly tree: FileTree | undefined;
}

/** States of files for each state of memory, if both may differ. */
const FILE_STATES_BESIDE_MEMORY = 8;

/** At most `limit`. */
export function* survivedNow(run: RestartRun, limit: number, seed: number): Iterable<Survived> {
  const { model, files } = run;
  const fileLimit = model.dirtyLines().length === 0 ? limit : FILE_STATES_BESIDE_MEMORY;
  let left = limit;
  for (const memory of survivingStates(model, limit, seed)) {
    if (files === undefined) yield { choice: memory.choice, digest: memory.digest, memory, tree: undefined };
    else {
      for (const { choice, digest, tree } of survivingFiles(files.model, fileLimit, seed)) {
        if (left-- <= 0) return;
        yield { choice: `${memory.choice}_${choice}`, digest: `${memory.digest} ${digest}`, memory, tree };
      }
    }
  }
}

/** Whether `survivedNow` gives every state that is possible. */
export function isWhole({ model, files }: RestartRun, limit: number): boolean {
  const memoryCount = survivingStateCount(model);
  if (files === undefined) return memoryCount <= limit;
  const fileCount = survivingFilesCount(files.model);
  const fileLimit = model.dirtyLines().length === 0 ? limit : FILE_STATES_BESIDE_MEMORY;
  return fileCount <= fileLimit && memoryCount * fileCount <= limit;
}

/** The parts of a choice's name. */
export function choicesOf(name: string): { readonly memory: string; readonly files: string } {
  const [memory = "", files = "n0"] = name.split("_");
  return { memory, files };
}

/** Names of states that lose a little less than this one. */
export function* milderChoices({ model, files }: RestartRun, name: string): Iterable<string> {
  const choices = choicesOf(name);
  const named = (memory: string, tree: string): string => (files === undefined ? memory : `${memory}_${tree}`);
  for (const memory of milderStates(model, choices.memory)) yield named(memory, choices.files);
  if (files === undefined) return;
  for (const tree of milderFiles(files.model, choices.files)) yield named(choices.memory, tree);
}

/** BAD_ARGUMENT: no state of this instant has that name. */
export function survivedNamed({ model, files }: RestartRun, name: string): Survived {
  const choices = choicesOf(name);
  const memory = survivingState(model, choices.memory);
  const state = files && survivingFilesNamed(files.model, choices.files);
  return { choice: name, digest: `${memory.digest} ${state?.digest}`, memory, tree: state?.tree };
}
