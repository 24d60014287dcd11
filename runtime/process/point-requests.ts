/** Requests for a persistence point that the main thread waits for, by ticket: an answer is for all up to its own. */
interface Request {
  readonly ticket: number;
  readonly resolve: (epoch: number) => void;
  readonly reject: (error: Error) => void;
}

export class PointRequests {
  #open: Request[] = [];

  add(ticket: number): Promise<number> {
    return new Promise((resolve, reject) => this.#open.push({ ticket, resolve, reject }));
  }

  /** The epoch that holds the state, or why there is none. */
  answer(ticket: number, answer: number | Error): void {
    const answered = this.#open.filter((request) => request.ticket <= ticket);
    this.#open = this.#open.filter((request) => request.ticket > ticket);
    for (const { resolve, reject } of answered) {
      if (typeof answer === "number") resolve(answer);
      else reject(answer);
    }
  }
}
