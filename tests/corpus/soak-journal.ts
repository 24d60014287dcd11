/** What a soak has done so far: a file of lines, each of them JSON, so that it can be ended and taken up at any time. */
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import type { Aim } from "./kill-timing.js";

/** One run of a program to its end. */
export interface Chain {
  readonly program: string;
  /** Of this program's chains; with the seed, it chooses everything. */
  readonly number: number;
  readonly seed: number;
  readonly kills: Readonly<Record<Aim, number>>;
  readonly met: number;
  readonly resumes: number;
  readonly differs: boolean;
}

/** What is run. */
interface Beginning {
  readonly seed: number;
  readonly commit: string;
  readonly node: string;
}

/** The lines of a journal: each beginning, then its chains. */
type Line = { readonly begins: Beginning } | Chain;

export class Journal {
  readonly #path: string | undefined;
  readonly #chains: readonly Chain[];
  #begins: Beginning | undefined;

  constructor(path: string | undefined) {
    this.#path = path;
    const text = path !== undefined && existsSync(path) ? readFileSync(path, "utf8") : "";
    const complete = text.split("\n").slice(0, -1);
    this.#chains = complete.flatMap((line) => {
      const parsed: Line = JSON.parse(line);
      return "begins" in parsed ? [] : [parsed];
    });
  }

  chainsOf(program: string): Chain[] {
    return this.#chains.filter((chain) => chain.program === program);
  }

  /** Told with the first chain: without one nothing is run. */
  begin(begins: Beginning): void {
    this.#begins = begins;
  }

  add(chain: Chain): void {
    if (this.#begins !== undefined) this.#append({ begins: this.#begins });
    this.#begins = undefined;
    this.#append(chain);
  }

  #append(line: Line): void {
    if (this.#path !== undefined) appendFileSync(this.#path, `${JSON.stringify(line)}\n`);
  }
}
