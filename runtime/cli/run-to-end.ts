import { relative } from "node:path";
import type { Cut, Outcome, Process, Resumption } from "../index.js";
import { print } from "./listing.js";
import type { Messages } from "./messages.js";
import { EXIT } from "./status.js";

/** Runs a prepared process, or makes a call of an instance, and says how it ended; the result is the exit status. */
export async function runToEnd(
  process: Process,
  messages: Messages,
  run: () => Promise<Outcome> = () => process.run(),
): Promise<number> {
  const image = shortest(process.image);
  const { resumes } = process;
  if (resumes !== undefined) {
    messages.news("resuming", `resuming ${image}${whereFrom(resumes)}`, { image, ...resumes });
  }
  const outcome = await run();
  switch (outcome.kind) {
    case "exited":
    case "returned":
      for (const line of outcome.results) print(line);
      return outcome.kind === "exited" ? exitStatusOf(outcome.status) : EXIT.success;
    case "trapped":
      messages.news("trapped", `trap: ${outcome.message}; ${image} holds the memory as it was`, {
        image,
        trap: outcome.message,
      });
      return EXIT.trap;
    case "powerFailed": {
      const { epoch, frames, saveMilliseconds, cut } = outcome;
      if (cut !== undefined) {
        messages.news("save-cut", cutText(image, epoch, cut), { image, epoch, ...cut });
        return EXIT.powerFailure;
      }
      const timeLimit = outcome.reason === "timeLimit";
      const what = timeLimit ? "time limit" : "power failure";
      const text =
        epoch === (resumes?.epoch ?? 0)
          ? `${what} ${whatWasLeft(image, resumes)}`
          : `${what}: saved ${image}, epoch ${epoch}, ${count(frames, "frame")}, ` +
            `in ${saveMilliseconds.toFixed(1)} ms; the same command goes on`;
      messages.news(timeLimit ? "time-limit" : "power-failed", text, { image, epoch, frames, saveMilliseconds });
      return timeLimit ? EXIT.timeLimit : EXIT.powerFailure;
    }
  }
}

function whereFrom({ epoch, frames, loggedCalls }: Resumption): string {
  const log = loggedCalls === null ? "" : `the log of ${count(loggedCalls, "host call")} is followed`;
  if (epoch === 0) return ` from the beginning: ${log}`;
  return `, epoch ${epoch}, ${count(frames, "frame")}${log === "" ? "" : `; then ${log}`}`;
}

/** Of a failure that came before the program did anything that it had not done before. */
function whatWasLeft(image: string, resumes: Resumption | undefined): string {
  if (resumes === undefined) return "before the program began, which changed nothing; give the same command again";
  return `before the program went on: ${image} is as it was; the same command goes on`;
}

/** The system keeps eight bits: a failure must not become a success by that. */
function exitStatusOf(guestStatus: number): number {
  const kept = guestStatus & 0xff;
  return kept === 0 && guestStatus !== 0 ? 1 : kept;
}

function cutText(image: string, epoch: number, { neededByteLength, heldByteLength }: Cut): string {
  const [needed, held] = [neededByteLength, heldByteLength].map((bytes) => `${(bytes / 1e6).toFixed(2)} MB`);
  const next =
    epoch === 0 ? "there is no earlier state: the same command starts again" : `it goes on from epoch ${epoch}`;
  return `power failure: the save of ${needed} into ${image} was cut, the energy lasted for ${held}; ${next}`;
}

function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? "" : "s"}`;
}

function shortest(path: string): string {
  const near = relative(process.cwd(), path);
  return near.length < path.length && near !== "" ? near : path;
}
