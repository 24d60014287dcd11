import { linkSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { carryOutLogChores, type LogChores } from "../../../pmem/log-chores.js";
import { logPath, removeLogs } from "../../../runtime/process/log/files.js";
import { Kind } from "../../../runtime/process/log/format.js";
import { OpenedLog } from "../../../runtime/process/log/opened-log.js";
import { type LogKeeper, RunLog } from "../../../runtime/process/log/run-log.js";

const BEGINNING = { callback: false, eintr: false };

let image: string;
beforeEach(() => {
  image = mkdtempSync(join(tmpdir(), "vermilion-run-log-"));
});
afterEach(() => rmSync(image, { recursive: true }));

/** The payloads of a log, as whoever goes on from its first file finds them. */
function payloads(number: number): string[] {
  const log = OpenedLog.open(image, number);
  const found: string[] = [];
  try {
    for (;;) {
      const record = log?.current.reader.next();
      if (record === undefined && log?.goOn() !== true) return found;
      if (record?.kind === Kind.HOST_FUNCTION) found.push(record.payload.toString());
    }
  } finally {
    log?.close();
  }
}

/** Does at once what it is asked for. */
class Prompt implements LogKeeper {
  made = 0;
  isAble = true;
  #descriptor: number | undefined;
  begin(chores: LogChores): void {
    const path = this.isAble ? chores.path : join(chores.path, "in no directory");
    this.#descriptor = carryOutLogChores({ ...chores, path });
    if (this.#descriptor !== undefined) this.made++;
  }
  end(): number | undefined {
    return this.#descriptor;
  }
}

describe("RunLog", () => {
  test.each([
    ["made when they are needed", undefined],
    ["made ahead", new Prompt()],
  ])("three files, %s: followed one after the other, from each of them", (_, keeper) => {
    const log = new RunLog(image, { keeper });
    let writer = log.begin(1, 0, BEGINNING);
    for (const epoch of [1, 2]) {
      writer.text(Kind.HOST_FUNCTION, 0, `before ${epoch}`);
      const before = writer;
      writer = log.next(epoch);
      log.leave(before);
      log.tidy();
    }
    writer.text(Kind.HOST_FUNCTION, 0, "the last");
    log.end();
    expect(keeper?.made).toBe(keeper && 2);
    expect(readdirSync(image).sort()).toEqual(["log-1", "log-2", "log-3"]);
    expect(log.number).toBe(3);
    expect(payloads(1)).toEqual(["before 1", "before 2", "the last"]);
    expect(payloads(3)).toEqual(["the last"]);
  });

  test("a file that was made ahead has gone, or could not be made: it is made when it is needed", () => {
    const keeper = new Prompt();
    const log = new RunLog(image, { keeper });
    let writer = log.begin(1, 0, BEGINNING);
    const goOn = (text: string) => {
      const before = writer;
      writer = log.next(1);
      log.leave(before);
      log.tidy();
      writer.text(Kind.HOST_FUNCTION, 0, text);
    };
    goOn("in the second");
    rmSync(join(image, "log.new"));
    goOn("in the third");
    expect(keeper.made).toBe(2);
    keeper.isAble = false;
    goOn("in the fourth");
    keeper.isAble = true;
    goOn("in the fifth");
    log.end();
    expect(keeper.made).toBe(3);
    expect(payloads(1)).toEqual(["second", "third", "fourth", "fifth"].map((each) => `in the ${each}`));
  });

  test("what was left over from a run that was killed is no log, and goes with the logs", () => {
    writeFileSync(join(image, "log.new"), "zeros");
    writeFileSync(logPath(image, 3), "");
    removeLogs(image, 3);
    expect(readdirSync(image).sort()).toEqual(["log-3", "log.new"]);
    removeLogs(image);
    expect(readdirSync(image)).toEqual([]);
  });

  test("the next file cannot be made, twice: the calls go on into this one, then into the next", () => {
    const log = new RunLog(image);
    const writer = log.begin(1, 0, BEGINNING);
    writeFileSync(logPath(image, 2), "");
    linkSync(logPath(image, 2), join(image, "another name")); // refused when it is open already
    for (const attempt of ["first", "second"]) {
      writer.text(Kind.HOST_FUNCTION, 0, attempt);
      expect(() => log.next(1)).toThrow(expect.objectContaining({ code: "NOT_A_FILE" }));
    }
    writer.text(Kind.HOST_FUNCTION, 0, "third");
    expect(log.number).toBe(1);
    expect(payloads(1)).toEqual(["first", "second", "third"]);
    rmSync(join(image, "another name"));
    const next = log.next(1);
    log.leave(writer);
    next.text(Kind.HOST_FUNCTION, 0, "fourth");
    log.end();
    expect(payloads(1)).toEqual(["first", "second", "third", "fourth"]);
  });
});
