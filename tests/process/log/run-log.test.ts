import { linkSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { logPath } from "../../../runtime/process/log/files.js";
import { Kind } from "../../../runtime/process/log/format.js";
import { OpenedLog } from "../../../runtime/process/log/opened-log.js";
import { RunLog } from "../../../runtime/process/log/run-log.js";

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

describe("RunLog", () => {
  test("three files: followed one after the other, from each of them", () => {
    const log = new RunLog(image);
    let writer = log.begin(1, 0, BEGINNING);
    for (const epoch of [1, 2]) {
      writer.text(Kind.HOST_FUNCTION, 0, `before ${epoch}`);
      const before = writer;
      writer = log.next(epoch);
      log.leave(before);
    }
    writer.text(Kind.HOST_FUNCTION, 0, "the last");
    log.end();
    expect(log.number).toBe(3);
    expect(payloads(1)).toEqual(["before 1", "before 2", "the last"]);
    expect(payloads(3)).toEqual(["the last"]);
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
