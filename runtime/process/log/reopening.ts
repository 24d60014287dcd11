/** The system interface as a log has left it: what is opened where a replay ends. */
import { type SavedState, WASI_STATE_VERSION, Wasi, type WasiEnvironment, type WasiOptions } from "../../wasi/index.js";
import { keptFilesOf, removeUnusedFiles } from "../kept-files.js";
import type { Arguments } from "./calls.js";
import type { DescriptorModel } from "./descriptor-model.js";
import { hasHappened, type Intent } from "./intents.js";
import type { OpenEnd } from "./replayer.js";

export interface ReopeningParts {
  readonly options: WasiOptions;
  readonly environment: WasiEnvironment | undefined;
  readonly image: string;
  /** Files in the directory of kept files that saved states need. */
  readonly keptFiles: () => ReadonlySet<string>;
}

/**
 * Opens it. `args`: of the host call that comes now, if one does. With them the intent in which the log ends, if that has come
 * true: the files are then as behind its call.
 */
export function reopen(
  end: OpenEnd,
  args: Arguments | undefined,
  model: DescriptorModel,
  parts: ReopeningParts,
): { readonly wasi: Wasi; readonly intent: Intent | undefined } {
  const { options, image, keptFiles } = parts;
  const intent = args === undefined ? undefined : happened(end, args, model.state(WASI_STATE_VERSION), parts);
  if (intent?.after !== undefined) model.change(JSON.stringify(intent.after), image);
  const state = model.state(WASI_STATE_VERSION);
  removeUnusedFiles(image, () => new Set([...keptFiles(), ...keptFilesOf(state)]));
  return { wasi: Wasi.restore({ ...options, inputGoesBack: true }, state), intent };
}

/**
 * What the end of a log intends, if it has come true. Asked of a system interface with nothing open but directories: the rest
 * may be where the intent has put it.
 */
function happened(
  { intent }: OpenEnd,
  args: Arguments,
  state: SavedState,
  { options, environment }: ReopeningParts,
): Intent | undefined {
  if (intent === undefined) return undefined;
  const descriptors = state.descriptors.filter(({ kind }) => kind === "preopen" || kind === "directory");
  const quiet = { ...options, onChangedFile: "ignore" as const, warn: () => {} };
  const wasi = Wasi.restore(quiet, { ...state, descriptors });
  try {
    if (environment !== undefined) wasi.bind(environment);
    return hasHappened(intent.intent, args, wasi.observer) ? intent.intent : undefined;
  } finally {
    wasi.close();
  }
}
