/**
 * Random programs that die at random places, more than once: the recovery leaves what an uninterrupted run does.
 *
 * VERMILION_RANDOM_PROGRAMS=n: so many instead of a few, for a search of its own.
 */
import fc from "fast-check";
import { afterEach, expect, test } from "vitest";
import { dieAt, live, outlive } from "./dying.js";
import { GuestProgram, World } from "./guest-program.js";

type Step = (guest: GuestProgram, open: number[]) => void;

/** Prints as the call that it makes. */
interface Told {
  readonly told: string;
  readonly step: Step;
}

const PROGRAMS = Number(process.env["VERMILION_RANDOM_PROGRAMS"] ?? 60);
const path = fc.constantFrom("a", "b", "d", "d/a", "d/b", "e", "e/a");
const text = fc.constantFrom("x", "same\n", "line of text\n", "long ".repeat(90));
const nth = fc.nat({ max: 3 });
const offset = fc.constantFrom(0n, 3n, 100n);
const length = fc.constantFrom(1, 10, 400);

/** The nth descriptor that the program has opened; one that it has not while there is none. */
const at = (open: readonly number[], n: number): number => open[n % Math.max(1, open.length)] ?? 77;

function step(name: string, parts: readonly fc.Arbitrary<unknown>[], make: (...parts: never[]) => Step) {
  return fc.tuple(...parts).map((values): Told => {
    const told = `${name}(${values.map((value) => (typeof value === "string" ? value.slice(0, 9) : value)).join(", ")})`;
    return { told, step: (make as (...parts: readonly unknown[]) => Step)(...values) };
  });
}

const steps: fc.Arbitrary<Told> = fc.oneof(
  { weight: 4, arbitrary: step("open", [path, fc.constantFrom(0, 1, 2, 5, 8, 9), fc.constantFrom(0, 0, 1)], open) },
  { weight: 2, arbitrary: step("close", [nth], (n: number) => (guest, open) => guest.close(at(open, n))) },
  { weight: 4, arbitrary: step("write", [nth, text], (n: number, t: string) => (g, open) => g.write(at(open, n), t)) },
  { weight: 3, arbitrary: step("print", [text], (t: string) => (guest) => guest.write(1, t)) },
  step("print often", [text], (t: string) => (guest) => {
    for (let time = 0; time < 4; time++) guest.write(1, t);
  }),
  step("input", [length], (n: number) => (guest) => guest.read(0, n)),
  { weight: 3, arbitrary: step("read", [nth, length], (n: number, l: number) => (g, open) => g.read(at(open, n), l)) },
  step("read often", [nth, length, offset], (n: number, l: number, o: bigint) => (guest, open) => {
    for (let time = 0; time < 3; time++) guest.readAt(at(open, n), l, o);
  }),
  step("writeAt", [nth, text, offset], (n: number, t: string, o: bigint) => (g, open) => g.writeAt(at(open, n), t, o)),
  step(
    "seek",
    [nth, offset, fc.nat({ max: 2 })],
    (n: number, o: bigint, w: number) => (g, open) => g.seek(at(open, n), o, w),
  ),
  step("stat", [nth], (n: number) => (guest, open) => guest.stat(at(open, n))),
  step("truncate", [nth, offset], (n: number, o: bigint) => (guest, open) => guest.truncate(at(open, n), o)),
  step("renumber", [nth, nth], (n: number, m: number) => (g, open) => g.renumber(at(open, n), at(open, m))),
  step("setFlags", [nth, fc.nat({ max: 1 })], (n: number, f: number) => (g, open) => g.setFlags(at(open, n), f)),
  step("makeDirectory", [path], (p: string) => (guest) => guest.makeDirectory(p)),
  step("removeDirectory", [path], (p: string) => (guest) => guest.removeDirectory(p)),
  step("unlink", [path], (p: string) => (guest) => guest.unlink(p)),
  { weight: 2, arbitrary: step("rename", [path, path], (p: string, q: string) => (guest) => guest.rename(p, q)) },
  step("link", [path, path], (p: string, q: string) => (guest) => guest.link(p, q)),
  step("openSecondName", [path, path], (p: string, q: string) => (guest, opened) => {
    open(p, 1, 0)(guest, opened);
    guest.link(p, q);
    open(q, 0, 0)(guest, opened);
    guest.unlink(q);
  }),
  step("publish", [path, path, text], (p: string, q: string, t: string) => (guest, opened) => {
    open(p, 1, 0)(guest, opened);
    guest.link(p, q);
    guest.unlink(p);
    guest.write(at(opened, opened.length - 1), t);
  }),
  step("symlink", [path, path], (p: string, q: string) => (guest) => guest.symlink(p, q)),
  step("next log", [], () => (guest) => guest.goOnInNextLog()),
  step("list", [nth], (n: number) => (guest, open) => guest.list(at(open, n))),
  step("clock", [fc.constantFrom(1, 2)], (id: number) => (guest) => guest.clock(id)),
  step("random", [], () => (guest) => guest.random()),
);

function open(p: string, oflags: number, fdflags: number): Step {
  return (guest, open) => {
    const fd = guest.open(p, oflags, fdflags);
    if (fd > 0) open.push(fd);
  };
}

const programs = fc.record({
  script: fc.array(steps, { minLength: 3, maxLength: 25 }),
  appending: fc.boolean(),
  deaths: fc.array(fc.record({ place: fc.nat({ max: 400 }), when: fc.constantFrom("before", "after") }), {
    ...{ minLength: 1, maxLength: 4 },
  }),
});

function run(guest: GuestProgram, script: readonly Told[]): void {
  const open: number[] = [];
  for (const { step } of script) step(guest, open);
}

afterEach(live);

test("a random program, killed at random places: as if it had not been", { timeout: 600_000 }, () => {
  fc.assert(
    fc.property(programs, ({ script, appending, deaths }) => {
      const reference = new World(appending);
      const uninterrupted = GuestProgram.begin(reference);
      const seen = dieAt(0, "before");
      outlive(() => run(uninterrupted, script));
      const world = new World(appending);
      let guest = GuestProgram.begin(world);
      const guests = [uninterrupted, guest];
      let finished: true | undefined;
      for (const { place, when } of deaths) {
        dieAt(1 + (place % seen.count), when);
        finished = outlive(() => run(guest, script));
        if (finished) break;
        guest = GuestProgram.recover(world);
        guests.push(guest);
      }
      if (!finished) run(guest, script);
      expect(guest.results).toEqual(uninterrupted.results);
      expect(world.outcome()).toEqual(reference.outcome());
      expect(guest.notices).toEqual(uninterrupted.notices);
      for (const { system } of guests) system.close();
      world.end();
      reference.end();
    }),
    { numRuns: PROGRAMS },
  );
});

test("a random program, resumed from what was saved: as if the power had not failed", { timeout: 600_000 }, () => {
  fc.assert(
    fc.property(programs, ({ script, appending, deaths }) => {
      const reference = new World(appending);
      const uninterrupted = GuestProgram.plain(reference);
      run(uninterrupted, script);
      const world = new World(appending);
      let guest = GuestProgram.plain(world);
      const failures = new Set(deaths.map(({ place }) => place % script.length));
      const open: number[] = [];
      for (const [index, { step }] of script.entries()) {
        if (failures.has(index)) guest = guest.resumed(world);
        step(guest, open);
      }
      expect(guest.results).toEqual(uninterrupted.results);
      expect(world.outcome()).toEqual(reference.outcome());
      for (const { system } of [guest, uninterrupted]) system.close();
      world.end();
      reference.end();
    }),
    { numRuns: PROGRAMS },
  );
});
