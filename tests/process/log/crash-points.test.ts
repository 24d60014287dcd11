/**
 * A process that dies in front of each system call in turn, behind each, and between the guest's calls: the recovery leaves
 * what an uninterrupted run does, also if it dies itself.
 */
import { rmSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { dieAt, live, outlive } from "./dying.js";
import { GuestProgram, World } from "./guest-program.js";

const CREATE = 1;
const EXCLUSIVE = 4;
const TRUNCATE = 8;
const APPEND = 1;

const SCRIPTS: Readonly<Record<string, (guest: GuestProgram) => void>> = {
  "a file's life": (guest) => {
    const file = guest.open("a", CREATE | EXCLUSIVE);
    guest.write(file, "one ");
    guest.write(file, "two ");
    guest.write(file, "two ");
    guest.seek(file, 2n);
    guest.write(file, "X");
    guest.writeAt(file, "Y", 0n);
    guest.seek(file, 0n, 2);
    guest.write(file, "end");
    guest.seek(file, 0n);
    guest.read(file, 100);
    guest.truncate(file, 5n);
    guest.stat(file);
    guest.close(file);
    guest.open("a", CREATE | EXCLUSIVE);
    const again = guest.open("a", TRUNCATE);
    guest.write(again, "new");
  },
  "standard streams": (guest) => {
    guest.write(1, "hello\n");
    const line = guest.read(0, 11);
    guest.write(1, `read ${line}`);
    guest.write(1, `random ${guest.random()}\n`);
    guest.read(0, 12);
    for (let time = 0; time < 4; time++) guest.write(1, "same\n");
    guest.random(); // another call behind those that are only counted
    guest.write(1, "bye\n");
  },
  "reads of what was read before": (guest) => {
    const pages = guest.open("pages", CREATE | EXCLUSIVE);
    guest.write(pages, "a".repeat(600));
    guest.write(pages, "b".repeat(600));
    for (const change of ["a", "x", "a"]) {
      guest.writeAt(pages, change, 302n);
      for (let time = 0; time < 2; time++) {
        guest.seek(pages, 0n);
        guest.read(pages, 600);
        guest.read(pages, 600);
      }
      for (let time = 0; time < 4; time++) guest.readAt(pages, 500, 3n);
    }
  },
  append: (guest) => {
    const log = guest.open("log", CREATE, APPEND);
    guest.write(log, "1\n");
    guest.write(log, "2\n");
    const other = guest.open("log", 0, APPEND);
    guest.write(other, "3\n");
    guest.write(log, "4\n");
    guest.writeAt(log, "5\n", 0n);
    guest.setFlags(other, 0);
    guest.seek(other, 0n);
    guest.write(other, "0");
    guest.seek(log, 0n, 1);
    guest.stat(log);
  },
  names: (guest) => {
    guest.makeDirectory("d");
    guest.makeDirectory("d");
    const file = guest.open("d/f", CREATE);
    guest.write(file, "content");
    guest.link("d/f", "d/g");
    guest.symlink("g", "d/s");
    guest.rename("d", "e");
    guest.write(file, " more");
    guest.rename("e/f", "e/h");
    guest.write(file, " and more");
    guest.unlink("e/h");
    guest.unlink("e/h");
    guest.list(guest.open("e", 2));
    guest.close(file);
    guest.unlink("e/g");
    guest.unlink("e/s");
    guest.removeDirectory("e");
    guest.makeDirectory("last");
  },
  "open files that lose their names": (guest) => {
    const first = guest.open("first", CREATE);
    const second = guest.open("first", 0);
    guest.write(first, "kept");
    guest.unlink("first");
    guest.stat(first);
    guest.write(first, " on");
    guest.read(second, 100);
    const third = guest.open("third", CREATE);
    guest.write(third, "third");
    const fourth = guest.open("fourth", CREATE);
    guest.write(fourth, "fourth");
    guest.rename("third", "fourth");
    guest.seek(fourth, 0n);
    guest.read(fourth, 100);
    guest.write(third, " moved");
    guest.stat(fourth);
    guest.renumber(third, first);
    guest.write(first, " twice");
    guest.close(fourth);
    guest.close(second);
  },
};

afterEach(live);

/** Results that differ from run to run. */
function comparable(world: World): Record<string, string> {
  const outcome = world.outcome();
  return { ...outcome, stdout: (outcome["stdout"] ?? "").replace(/random [0-9a-f]{8}/g, "random") };
}

describe.each(["in place", "appended"] as const)("stdout %s", (stdout) => {
  test.each(Object.keys(SCRIPTS))("%s", { timeout: 120_000 }, (name) => {
    const script = SCRIPTS[name]!;
    const appending = stdout === "appended";
    const reference = new World(appending);
    const uninterrupted = GuestProgram.begin(reference);
    script(uninterrupted);
    const expected = comparable(reference);
    for (const when of ["before", "after"] as const) {
      for (let wanted = 1; ; wanted++) {
        const world = new World(appending);
        const guest = GuestProgram.begin(world);
        dieAt(wanted, when);
        if (outlive(() => script(guest))) break;
        const label = `killed ${when} place ${wanted}`;
        // Every third recovery is killed too, at a place that moves on.
        if (wanted % 3 === 0) {
          const second = GuestProgram.recover(world);
          dieAt(1 + (wanted % 17), when);
          outlive(() => script(second));
        }
        const recovered = GuestProgram.recover(world);
        script(recovered);
        expect(recovered.results, label).toEqual(uninterrupted.results);
        expect(comparable(world), label).toEqual(expected);
        expect(recovered.notices, label).toEqual([]);
        recovered.system.close();
        rmSync(world.folder, { recursive: true });
      }
    }
    rmSync(reference.folder, { recursive: true });
  });
});
