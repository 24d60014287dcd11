/** What a log holds already is found, by all of its bytes. */
import { expect, test } from "vitest";
import { SeenOutputs } from "../../../runtime/process/log/seen-outputs.js";

const HEAD_BYTES = 12;
const RECORD = 16; // a word

/** A log with one record, whose payload is `payload`. */
function logWith(payload: Uint8Array): Buffer {
  const log = Buffer.alloc(RECORD * 4 + HEAD_BYTES + payload.length);
  log.set(payload, RECORD * 4 + HEAD_BYTES);
  return log;
}

const page = Uint8Array.from({ length: 4096 }, (_, index) => (index * 31) & 255);
const memory = new Uint8Array(8192);
memory.set(page, 1000);
/** As two outputs, in the wrong order in memory. */
const RANGES = [1004, 4092, 1000, 4];
const payload = Uint8Array.from([...page.subarray(4), ...page.subarray(0, 4)]);

test("the same bytes: the record that was remembered for them", () => {
  const seen = new SeenOutputs();
  const log = logWith(payload);
  expect(seen.find(log, RECORD, memory, RANGES, 4096)).toBe(0);
  expect(seen.find(log, 5000, memory, RANGES, 4096)).toBe(RECORD);
});

test("any byte that differs, or another length: none", () => {
  for (let at = 0; at < 4096; at++) {
    const seen = new SeenOutputs();
    const log = logWith(payload);
    seen.find(log, RECORD, memory, RANGES, 4096);
    memory[1000 + at]! ^= 1;
    expect(seen.find(log, 5000, memory, RANGES, 4096), String(at)).toBe(0);
    memory[1000 + at]! ^= 1;
  }
  const seen = new SeenOutputs();
  seen.find(logWith(payload), RECORD, memory, RANGES, 4096);
  expect(seen.find(logWith(payload), 5000, memory, [1004, 4091, 1000, 4], 4095)).toBe(0);
});
