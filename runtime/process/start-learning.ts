/** One beginning of a program, watched for the profile of its instrumented form (start-profile.ts). On the main thread. */
import { CompilationRecorder } from "./compilation-recorder.js";
import { FormCache } from "./form-cache.js";
import type { PrepareOrder } from "./protocol.js";
import type { FormAhead } from "./read-ahead.js";

/** Of a form, up to the end of its code: what smaller programs need is compiled in a few milliseconds. */
const LEAST_BYTES = 1 << 17;
/** What is compiled later does not belong to the start. */
const START_MILLISECONDS = 1000;

export class StartLearning {
  readonly #recorder: CompilationRecorder;
  readonly #cache: FormCache;
  readonly #form: FormAhead;
  readonly #importedFunctions: number;
  readonly #timer: NodeJS.Timeout;
  #ended: Promise<void> | undefined;

  private constructor(recorder: CompilationRecorder, cache: FormCache, form: FormAhead, importedFunctions: number) {
    this.#recorder = recorder;
    this.#cache = cache;
    this.#form = form;
    this.#importedFunctions = importedFunctions;
    this.#timer = setTimeout(() => this.end(), START_MILLISECONDS).unref();
  }

  /** Before the guest begins. Undefined: there is nothing to learn, or no way to. */
  static begin(form: FormAhead, { cacheDirectory }: PrepareOrder): StartLearning | undefined {
    const { hash, needed, content, importedFunctions } = form;
    if (cacheDirectory === undefined) return undefined;
    if (needed !== undefined || importedFunctions === undefined || (content.bodies.at(-1) ?? 0) < LEAST_BYTES)
      return undefined;
    const recorder = CompilationRecorder.begin();
    return recorder && new StartLearning(recorder, new FormCache(cacheDirectory, hash), form, importedFunctions);
  }

  /** The guest has come to its end, or the start has. */
  end(): Promise<void> {
    clearTimeout(this.#timer);
    this.#ended ??= this.#keep();
    return this.#ended;
  }

  /** The power fails: nothing is learned from a start that was cut, and nothing waited for. */
  cancel(): void {
    clearTimeout(this.#timer);
    if (this.#ended === undefined) this.#recorder.cancel();
    this.#ended ??= Promise.resolve();
  }

  async #keep(): Promise<void> {
    const compiled = await this.#recorder.end();
    const { mode, beginning, content } = this.#form;
    const profile = this.#cache.readProfile(mode, beginning);
    if (!profile.learns) return; // another run was faster
    profile.add(compiled, this.#importedFunctions, content.bodies);
    this.#cache.writeProfile(mode, beginning, profile);
  }
}
