import { cpSync, readdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Ended, Workshop } from "../support/command-line.js";
import { placeGuest } from "../support/guests.js";

const shop = new Workshop();
afterAll(() => shop.remove());

const counter = placeGuest(shop.work, "counter");
let reference: Ended;
/** An image saved after two lines; tests copy it. */
beforeAll(async () => {
  reference = await shop.run(["run", "--image", "reference", counter]);
  expect((await shop.run(["run", "--image", "saved", "--fail-at-call", "fd_write:3", counter])).status).toBe(85);
});

function copyOfSaved(name: string): string {
  cpSync(join(shop.work, "saved"), join(shop.work, name), { recursive: true });
  return name;
}

async function inspect(image: string): Promise<Record<string, unknown>> {
  return JSON.parse((await shop.run(["inspect", "--json", image])).stdout) as Record<string, unknown>;
}

describe("run, typed again", () => {
  test("no image: a clean start, in .vermilion; finished: a clean start again", async () => {
    for (let times = 0; times < 2; times++) {
      expect(await shop.run(["run", "counter.wasm"])).toEqual(reference);
      expect(readdirSync(join(shop.work, ".vermilion"))).toHaveLength(1);
    }
    expect(readdirSync(join(shop.work, ".vermilion"))[0]).toMatch(/^counter-[0-9a-f]{16}$/);
  });

  test("the same command: the same image; other arguments, environment, directories: others", async () => {
    const images = async () =>
      readdirSync(join(shop.work, ".vermilion")).filter((name) => name.startsWith("echo-")).length;
    placeGuest(shop.work, "echo");
    const counts: number[] = [];
    for (const args of [
      ["echo.wasm"],
      [join(shop.work, "echo.wasm")],
      ["--quiet", "echo.wasm"],
      ["echo.wasm", "x"],
      ["--env", "A=1", "echo.wasm"],
      ["--dir", ".", "echo.wasm"],
      ["--argv0", "e", "echo.wasm"],
    ]) {
      expect((await shop.run(["run", ...args])).status).toBe(0);
      counts.push(await images());
    }
    expect(counts).toEqual([1, 1, 1, 2, 3, 4, 5]);
  });

  test("--fresh with what cannot begin: refused, and what was saved is still there", async () => {
    const image = copyOfSaved("kept");
    const wrong = [
      ["--dir", "missing"],
      ["-S", "tcplisten=192.0.2.1:1"],
      ["-W", "max-memory-size=1"],
    ];
    for (const options of wrong) {
      const refused = await shop.run(["run", "--fresh", "--image", image, ...options, counter]);
      expect([2, 74], refused.stderr).toContain(refused.status);
      expect(await inspect(image), options.join(" ")).toMatchObject({ status: "saved", epoch: 1 });
    }
  });

  test("a failure at a call that the program does not have: refused, and nothing has run", async () => {
    const image = copyOfSaved("misspelt");
    const refused = await shop.run(["run", "--image", image, "--fail-at-call", "fd_wirte", "--json", counter]);
    expect(refused).toMatchObject({ status: 2, stdout: "" });
    expect(JSON.parse(refused.stderr.trim().split("\n").at(-1) ?? "")).toMatchObject({ code: "BAD_ARGUMENT" });
    expect(await inspect(image)).toMatchObject({ status: "saved", epoch: 1 });
  });

  test("unfinished: it goes on, and says so", async () => {
    const second = await shop.run(["run", "--image", copyOfSaved("goes on"), counter]);
    expect(second.stderr).toBe("vermilion: resuming goes on, epoch 1, 4 frames\n");
    expect(`1\n2\n${second.stdout}`).toBe(reference.stdout);
    expect(await inspect("goes on")).toMatchObject({ status: "finished", exitStatus: 7, heldBy: null });
  });

  test("--fresh: it starts over", async () => {
    expect(await shop.run(["run", "--fresh", "--image", copyOfSaved("fresh"), counter])).toEqual(reference);
  });

  test("killed before its first save: a clean start, which says so; resume refuses", async () => {
    const run = shop.start(["run", "--image", "killed", counter], { input: "" });
    await run.printed("2\n");
    run.kill("SIGKILL");
    await run.ended;
    expect(await inspect("killed")).toMatchObject({ status: "lost", heldBy: null });
    expect(await shop.run(["resume", "killed"])).toMatchObject({ status: 74, stdout: "" });
    const again = await shop.run(["run", "--image", "killed", counter]);
    expect(again).toMatchObject({ status: 7, stdout: reference.stdout });
    expect(again.stderr).toContain("starting from the beginning");
  });

  test("killed after a save: run and resume go on from there, and say so; its output since comes again", async () => {
    const image = copyOfSaved("killed later");
    for (const command of [
      ["run", "--image", image, counter],
      ["resume", image],
    ]) {
      const run = shop.start(command, { input: "" });
      await run.printed("5\n");
      run.kill("SIGKILL");
      await run.ended;
      expect(await inspect(image)).toMatchObject({
        status: "killed",
        epoch: 1,
        heldBy: null,
        frames: [{}, {}, {}, {}],
      });
    }
    cpSync(join(shop.work, image), join(shop.work, "killed later 2"), { recursive: true });
    for (const command of [
      ["run", "--image", image, counter],
      ["resume", "killed later 2"],
    ]) {
      const { status, stdout, stderr } = await shop.run(command);
      expect(`1\n2\n${stdout}`).toBe(reference.stdout);
      expect(status).toBe(7);
      expect(stderr).toMatch(
        /the last run was killed; going on from epoch 1.*\n.*resuming killed later.*epoch 1, 4 frames/,
      );
    }
  });

  test("--in-place: the image says so, a save is resumed, a kill loses the run", async () => {
    const failing = ["run", "--image", "in place", "--in-place", "--fail-at-call", "fd_write:3", counter];
    expect((await shop.run(failing)).status).toBe(85);
    expect(readdirSync(join(shop.work, "in place"))).toContain("memory-0");
    const second = await shop.run(["run", "--image", "in place", "--fail-at-call", "fd_write:3", counter]);
    expect(second).toMatchObject({ status: 85, stdout: "3\n4\n" });
    const run = shop.start(["run", "--image", "in place", counter], { input: "" });
    await run.printed("6\n");
    run.kill("SIGKILL");
    await run.ended;
    expect(await inspect("in place")).toMatchObject({ status: "lost", frames: [] });
    expect(await shop.run(["run", "--image", "in place", counter])).toMatchObject({ stdout: reference.stdout });
    expect(readdirSync(join(shop.work, "in place"))).not.toContain("memory-0");
  });

  test("killed at random moments, many times: never a wrong resume", async () => {
    for (let times = 0; times < 6; times++) {
      const run = shop.start(["run", "--image", "killed often", counter], { input: "" });
      setTimeout(() => run.kill("SIGPWR"), 90 + 120 * Math.random());
      setTimeout(() => run.kill("SIGKILL"), 100 + 120 * Math.random());
      await run.ended;
    }
    const { status, stdout } = await shop.run(["run", "--image", "killed often", counter]);
    expect(status).toBe(7);
    expect(reference.stdout.endsWith(stdout)).toBe(true);
  });

  test("another command in the image: refused, with the ways on", async () => {
    const image = copyOfSaved("other command");
    const { status, stderr } = await shop.run(["run", "--image", image, counter, "argument"]);
    expect(status).toBe(74);
    expect(stderr).toContain("--fresh");
    expect((await shop.run(["run", "--image", image, counter])).status).toBe(7);
  });

  test("the module has changed: refused; resume goes on with the old one", async () => {
    const module = join(shop.work, "changing.wasm");
    writeFileSync(module, readFileSync(counter));
    expect((await shop.run(["run", "--image", "changed", "--fail-at-call", "fd_write:3", module])).status).toBe(85);
    writeFileSync(module, readFileSync(placeGuest(shop.work, "trapper")));
    const refused = await shop.run(["run", "--image", "changed", module]);
    expect(refused).toMatchObject({ status: 74, stdout: "" });
    expect(refused.stderr).toContain("has changed");
    const resumed = await shop.run(["resume", "changed"]);
    expect(`1\n2\n${resumed.stdout}`).toBe(reference.stdout);
    expect(resumed.status).toBe(7);
  });
});

describe("resume", () => {
  test("needs nothing but the image", async () => {
    const { stdout, status, stderr } = await shop.run(["resume", copyOfSaved("alone")], { cwd: shop.work });
    expect(`1\n2\n${stdout}`).toBe(reference.stdout);
    expect(stderr).toBe("vermilion: resuming alone, epoch 1, 4 frames\n");
    expect(status).toBe(7);
  });

  test("a finished process: refused", async () => {
    expect(await shop.run(["resume", "reference"])).toMatchObject({ status: 74, stdout: "" });
  });

  test("directories: granted again to the user who granted them, to nobody else", async () => {
    const sleeper = placeGuest(shop.work, "sleeper");
    const command = ["run", "--image", "granted", "--dir", ".::/data", "--fail-at-call", "poll_oneoff", sleeper];
    expect((await shop.run(command)).status).toBe(85);
    for (const name of ["granted 1", "granted 2"])
      cpSync(join(shop.work, "granted"), join(shop.work, name), { recursive: true });
    expect((await shop.run(["resume", "granted 1"])).status).toBe(0);
    const stranger = { HOME: join(shop.directory, "home of another") };
    const refused = await shop.run(["resume", "granted 2"], { env: stranger });
    expect(refused.status).toBe(74);
    expect(refused.stderr).toContain(`--dir "${shop.work}::/data"`);
    expect((await shop.run(["resume", "--dir", ".::/data", "granted 2"], { env: stranger })).status).toBe(0);
  });
});

describe("an image that cannot be used: status 74, what is wrong, no other change", () => {
  const flip = (path: string, ...places: readonly number[]) => {
    const bytes = readFileSync(path);
    for (const at of places) {
      const index = at < 0 ? bytes.length + at : at;
      bytes[index] = (bytes[index] ?? 0) ^ 1;
    }
    writeFileSync(path, bytes);
  };

  test.each<[string, string, (image: string) => void]>([
    ["the header's slots", "header", (image) => flip(join(image, "header"), 100, 5000)],
    ["the command", "header", (image) => flip(join(image, "header"), -3)],
    ["the state", "state-1", (image) => flip(join(image, "state-1"), -40)],
    ["the module", "module.wasm", (image) => flip(join(image, "module.wasm"), 100)],
    ["a memory that was cut", "pages-0", (image) => truncateSync(join(image, "pages-0"), 4095)],
  ])("%s", async (what, file, damage) => {
    const image = copyOfSaved(`damaged ${what}`);
    damage(join(shop.work, image));
    for (const command of [
      ["resume", image],
      ["run", "--image", image, counter],
    ]) {
      const { status, stdout, stderr } = await shop.run(command);
      expect({ status, stdout }).toEqual({ status: 74, stdout: "" });
      expect(stderr).toContain(file);
      expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    }
    expect((await shop.run(["run", "--fresh", "--image", image, counter])).status).toBe(7);
  });

  test("a directory of something else: refused, also with --fresh, and untouched", async () => {
    writeFileSync(join(shop.work, "not-an-image"), "");
    for (const options of [[], ["--fresh"]]) {
      expect((await shop.run(["run", ...options, "--image", ".", counter])).status).toBe(74);
      expect((await shop.run(["run", ...options, "--image", "not-an-image", counter])).status).toBe(74);
    }
    expect(readdirSync(shop.work)).toContain("saved");
  });

  test("a state that is a link: refused", async () => {
    const image = copyOfSaved("linked");
    cpSync(join(shop.work, image, "state-1"), join(shop.work, "elsewhere"));
    rmSync(join(shop.work, image, "state-1"));
    symlinkSync(join(shop.work, "elsewhere"), join(shop.work, image, "state-1"));
    expect((await shop.run(["resume", image])).status).toBe(74);
  });

  test("two processes: the second is refused and names the first", async () => {
    const cat = placeGuest(shop.work, "cat");
    const run = shop.start(["run", "--image", "contended", cat]);
    run.child.stdin?.write("here");
    await run.printed("here");
    for (const command of [
      ["run", "--image", "contended", cat],
      ["run", "--fresh", "--image", "contended", cat],
      ["resume", "contended"],
    ]) {
      const { status, stderr, stdout } = await shop.run(command);
      expect({ status, stdout }).toEqual({ status: 74, stdout: "" });
      expect(stderr).toContain(`process ${run.child.pid}`);
    }
    run.child.stdin?.end();
    expect(await run.ended).toMatchObject({ status: 0, stdout: "here4\n" });
  });

  test("five at once: one runs, the others are refused", async () => {
    const runs = Array.from({ length: 5 }, () => shop.start(["run", "--image", "crowd", counter], { input: "" }).ended);
    const ended = await Promise.all(runs);
    const winners = ended.filter(({ status }) => status === 7);
    expect(winners.length).toBeGreaterThanOrEqual(1); // one that starts after another has ended runs, too
    for (const { stdout } of winners) expect(stdout).toBe(reference.stdout);
    for (const { stdout, status } of ended.filter((each) => each.status !== 7)) {
      expect({ stdout, status }).toEqual({ stdout: "", status: 74 });
    }
  });

  test("a file system that takes no files", async () => {
    const { status, stderr, stdout } = await shop.run(["run", "--image", "/proc/vermilion/image", counter]);
    expect({ status, stdout }).toEqual({ status: 74, stdout: "" });
    expect(stderr).toContain("/proc/vermilion");
  });
});

test("inspect: frames by name, descriptors, memory, as text and as JSON", async () => {
  const inspection = await inspect("saved");
  expect(inspection).toMatchObject({
    image: join(shop.work, "saved"),
    status: "saved",
    epoch: 1,
    memories: [{ byteLength: 131072 }],
    frames: [{ stack: "entry", functionIndex: 0, name: "fd_write", offset: null }, {}, {}, { name: null }],
    descriptors: [{ number: 0, kind: "stdio" }, { number: 1 }, { number: 2 }],
    command: { module: counter, args: ["counter.wasm"] },
  });
  const { stdout, status } = await shop.run(["inspect", "saved"]);
  expect(stdout).toContain("#0 fd_write");
  expect(status).toBe(0);
  expect((await shop.run(["inspect", "nothing here"])).status).toBe(74);
});
