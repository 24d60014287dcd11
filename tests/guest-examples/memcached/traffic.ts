/**
 * Clients that store while the server's power fails under them, and what must be found afterwards.
 *
 * Each sends one command after the other. What it was told is acknowledged; the command without an answer, one at most, may
 * have been carried out or not. A second time never.
 */
import { Client } from "./client.js";

const KEYS_AT_ONCE = 100;

/** What one client has been told; `pending`: what it has sent without an answer. */
interface Writer {
  readonly name: string;
  /** Keys that were set, with their values: set once each. */
  readonly set: Map<string, string>;
  appended: number;
  incremented: number;
  pending: string;
}

export class Traffic {
  readonly #port: number;
  readonly #writers: readonly Writer[];

  constructor(port: number, clients: number) {
    this.#port = port;
    this.#writers = Array.from({ length: clients }, (_, index) => ({
      ...{ name: `c${index}`, set: new Map<string, string>(), appended: 0, incremented: 0, pending: "" },
    }));
  }

  /** All that was acknowledged so far. */
  get acknowledged(): number {
    return this.#writers.reduce((sum, { set, appended, incremented }) => sum + set.size + appended + incremented, 0);
  }

  /** Before the first traffic. */
  async begin(): Promise<void> {
    const client = await Client.connect(this.#port);
    for (const { name } of this.#writers) {
      const answer = await client.ask(`set ${name}-list 0 0 0\r\n\r\nset ${name}-count 0 0 1\r\n0`);
      if (answer !== "STORED\r\nSTORED\r\n") throw new Error(`not stored: ${answer}`);
    }
    client.close();
  }

  /** Until the server is gone; resolves when all clients have noticed. */
  async run(): Promise<void> {
    await Promise.all(this.#writers.map((writer) => this.#write(writer)));
  }

  async #write(writer: Writer): Promise<void> {
    const client = await Client.connect(this.#port);
    for (;;) {
      const { name, set, appended, incremented } = writer;
      const key = `${name}-${set.size}`;
      const value = `${key} `.repeat(1 + (set.size % 50));
      writer.pending = "set";
      if ((await client.line(`set ${key} 0 0 ${value.length}\r\n${value}`)) !== "STORED") return;
      set.set(key, value);
      writer.pending = "append";
      const piece = `${appended},`;
      if ((await client.line(`append ${name}-list 0 0 ${piece.length}\r\n${piece}`)) !== "STORED") return;
      writer.appended++;
      writer.pending = "incr";
      if ((await client.line(`incr ${name}-count 1`)) === undefined) return;
      writer.incremented = incremented + 1;
    }
  }

  /** What is lost or there twice, as lines; what happened to commands without an answer is taken as it is. */
  async check(): Promise<string[]> {
    const client = await Client.connect(this.#port);
    const wrong: string[] = [];
    for (const writer of this.#writers) {
      const { name, set, pending } = writer;
      const keys = [...set.keys()];
      for (let at = 0; at < keys.length; at += KEYS_AT_ONCE) {
        const some = keys.slice(at, at + KEYS_AT_ONCE);
        const found = await client.values(some);
        wrong.push(...some.filter((key) => found.get(key) !== set.get(key)).map((key) => `${key}: lost or changed`));
      }
      const list = (await client.value(`${name}-list`)) ?? "";
      const appended = list.split(",").length - 1;
      const whole = Array.from({ length: appended }, (_, i) => `${i},`).join("");
      if (list !== whole) wrong.push(`${name}: a piece twice or missing: ${list.slice(-100)}`);
      const count = Number(await client.value(`${name}-count`));
      for (const [what, found, told] of [
        ["append", appended, writer.appended],
        ["incr", count, writer.incremented],
      ] as const) {
        const most = told + (pending === what ? 1 : 0);
        if (!(found >= told && found <= most)) wrong.push(`${name}: ${what}: ${told} acknowledged, ${found} found`);
      }
      // What was not acknowledged and is there nevertheless counts from now on.
      writer.appended = appended;
      writer.incremented = count;
      writer.pending = "";
    }
    client.close();
    return wrong;
  }
}
