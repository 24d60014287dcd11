/** One beginning of a program, watched for the profile of its instrumented form (start-profile.ts). On the main thread. */
import { CompilationRecorder } from "./compilation-recorder.js";
import { FormCache } from "./form-cache.js";
import type { FormAhead } from "./read-ahead.js";

/** Of a form, up to the end of its code: what smaller programs need is compiled in a few milliseconds. */
const LEAST_BYTES = 1 << 17;

export class StartLearning {
  readonly #recorder: CompilationRecorder;
  readonly #cache: FormCache;
  readonly #form: FormAhead;

  private constructor(recorder: CompilationRecorder, cache: FormCache, form: FormAhead) {
    this.#recorder = recorder;
    this.#cache = cache;
    this.#form = form;
  }

  /** Before the guest begins. Undefined: there is nothing to learn, or no way to. */
  static begin(cacheDirectory: string, form: FormAhead): StartLearning | undefined {
    const { hash, needed, content, importedFunctions } = form;
    if (needed !== undefined || importedFunctions === undefined || (content.bodies.at(-1) ?? 0) < LEAST_BYTES)
      return undefined;
    const recorder = CompilationRecorder.begin();
    return recorder && new StartLearning(recorder, new FormCache(cacheDirectory, hash), form);
  }

  /** The guest has come to an end. */
  async end(): Promise<void> {
    const compiled = await this.#recorder.end();
    if (compiled.length === 0) return;
    const { mode, beginning, content, importedFunctions = 0 } = this.#form;
    const profile = this.#cache.readProfile(mode, beginning);
    profile.add(compiled, importedFunctions, content.bodies);
    this.#cache.writeProfile(mode, beginning, profile);
  }
}
