/** A client of memcached's text protocol that sees every byte. */
import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** What ends every answer of `ask`, by the command "version": no answer that is tested has such a line. */
const SENTINEL = /VERSION [^\r\n]*\r\n/;

const CONNECT_MILLISECONDS = 20_000;
const ANSWER_MILLISECONDS = 20_000;

export class Client {
  readonly socket: Socket;
  /** False once the server has closed or reset the connection. */
  isOpen = true;
  #received = "";
  #wake = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.setEncoding("latin1").on("data", (text: string) => {
      this.#received += text;
      this.#wake();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.isOpen = false;
      this.#wake();
    });
  }

  /** Connects, as soon as somebody listens. */
  static async connect(port: number): Promise<Client> {
    const deadline = performance.now() + CONNECT_MILLISECONDS;
    for (;;) {
      const socket = createConnection(port, "127.0.0.1");
      try {
        await once(socket, "connect");
        return new Client(socket);
      } catch (error) {
        if (performance.now() > deadline) throw error;
        await sleep(5);
      }
    }
  }

  send(text: string): void {
    this.socket.write(text, "latin1");
  }

  /** What comes before `end`, which is taken too; undefined: the connection was closed before. */
  async until(end: RegExp): Promise<string | undefined> {
    const deadline = performance.now() + ANSWER_MILLISECONDS;
    for (;;) {
      const found = end.exec(this.#received);
      if (found !== null) {
        const answer = this.#received.slice(0, found.index);
        this.#received = this.#received.slice(found.index + found[0].length);
        return answer;
      }
      if (!this.isOpen) return undefined;
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`no answer in time; so far ${JSON.stringify(this.#received.slice(0, 200))}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** The whole answer to a request, however many lines it has. */
  async ask(request: string): Promise<string | undefined> {
    this.send(`${request}\r\nversion\r\n`);
    return this.until(SENTINEL);
  }

  /** The first line of the answer, without its end: "STORED", "5", "NOT_FOUND". Undefined: the connection is closed. */
  async line(request: string): Promise<string | undefined> {
    this.send(`${request}\r\n`);
    return this.until(/\r\n/);
  }

  /** Undefined: there is none. */
  async value(key: string): Promise<string | undefined> {
    return (await this.values([key])).get(key);
  }

  /** What there is of them. No value may contain the end of a line. */
  async values(keys: readonly string[]): Promise<Map<string, string>> {
    const answer = (await this.ask(`get ${keys.join(" ")}`)) ?? "";
    return new Map(
      [...answer.matchAll(/VALUE (\S+) \d+ \d+\r\n(.*)\r\n/g)].map(([, key = "", value = ""]) => [key, value]),
    );
  }

  /** Resolves when the server has closed the connection. */
  async closed(): Promise<void> {
    if (this.isOpen) await once(this.socket, "close");
  }

  close(): void {
    this.socket.destroy();
  }
}
