import { execFileSync, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { mainPath, Workshop } from "../support/command-line.js";
import { placeGuest } from "../support/guests.js";

const shop = new Workshop();
afterAll(() => shop.remove());

const counter = placeGuest(shop.work, "counter");
const cat = placeGuest(shop.work, "cat");
const ledger = placeGuest(shop.work, "ledger");
const mayMount = spawnSync("unshare", ["-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]).status === 0;

/** Shell commands in a mount namespace of their own, where `/mnt` is a tmpfs; `$V` runs vermilion. */
function onDisk(options: string, script: string): string {
  const setUp = `set -e; mount -t tmpfs -o ${options} tmpfs /mnt; cd /mnt; set +e`; // or else nothing of the script
  return execFileSync("unshare", ["-rm", "sh", "-c", `${setUp}\n${script}`], {
    cwd: shop.work,
    encoding: "utf8",
    timeout: 60_000,
    env: { ...shop.environment, V: `${process.execPath} ${mainPath}`, M: counter, C: cat, L: ledger, W: shop.work },
  });
}

describe.skipIf(!mayMount)("disks (skipped where a user may not mount one)", () => {
  test("read-only: status 74, nothing has run", () => {
    expect(onDisk("ro", "$V run $M 2>&1; echo $?")).toMatch(/^vermilion: \/mnt\/\.vermilion.*read-only.*\n74\n$/);
  });

  test("read-only: an image on it can be looked at, verified, forked and pushed elsewhere; not resumed", () => {
    const out = onDisk(
      "size=8m",
      `$V run --quiet --image i --fail-at-call fd_write:3 $M > /dev/null
       mount -o remount,ro /mnt
       for lock in there gone; do
         for command in "inspect i" "verify i" "history i" "fork i $W/fork-$lock" "push i dir:$W/store" "resume --quiet i"; do
           $V $command > /dev/null 2> $W/said; echo $command: $?
         done
         mount -o remount,rw /mnt; rm -f i/lock; mount -o remount,ro /mnt
       done
       $V resume --quiet $W/fork-there | head -1`,
    );
    const each = [
      "inspect i: 0",
      "verify i: 0",
      "history i: 0",
      /^fork .*: 0$/,
      /^push .*: 0$/,
      "resume --quiet i: 74",
    ];
    const lines = [...each, ...each].map((line) => (typeof line === "string" ? line : expect.stringMatching(line)));
    expect(out.trimEnd().split("\n")).toEqual([...lines, "3"]);
  });

  test("no room for the image: status 74, nothing has run", () => {
    const out = onDisk("size=128k", "$V run $M 2>&1; echo $?");
    expect(out).toMatch(/^vermilion: \/mnt\/\.vermilion.*free some space.*\n74\n$/);
  });

  test("no room for more memory, as saving it would need: refused to the program, and told once to whoever runs it", () => {
    writeFileSync(
      join(shop.work, "grow.wat"),
      `(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1)
        (func (export "_start")
          (drop (memory.grow (i32.const 400)))
          (call $exit (i32.eq (memory.grow (i32.const 200)) (i32.const -1)))))`,
    );
    const out = onDisk("size=8m", "$V run --image i $W/grow.wat 2>&1; echo $?");
    expect(out).toMatch(/^vermilion: the program was refused more memory: .*free some space.*\n1\n$/);
  });

  test("it fills up before the save: status 74, never a wrong resume; the next run starts over and says so", () => {
    const out = onDisk(
      "size=512k",
      `(sleep 20 & echo $! > $W/sleeper; wait) | ($V run --image i $C 2> $W/errors; echo $? > $W/status) &
       until $V ps . | grep -q running; do sleep 0.05; done
       head -c 1M /dev/zero > /mnt/filler 2> /dev/null
       $V fail --quiet i
       until test -s $W/status; do sleep 0.05; done
       kill $(cat $W/sleeper)
       cat $W/status $W/errors
       rm /mnt/filler
       echo again | $V run --image i $C 2>&1`,
    );
    const [status, first, ...second] = out.trimEnd().split("\n");
    if (status === "85") {
      // The state file was made when the run began, and fitted into its page.
      expect(second).toEqual([expect.stringContaining("resuming i, epoch 1"), "again", "6"]);
    } else {
      expect(status).toBe("74");
      expect(first).toContain("free some space");
      expect(second).toEqual([expect.stringContaining("starting from the beginning"), "again", "6"]);
    }
  });

  test("it fills up between persistence points: said once, the program goes on, and so do the points when there is room", () => {
    const out = onDisk(
      "size=4m", // an image, and a MiB for each of two logs
      `epoch() { $V inspect --json i 2> /dev/null | grep -o '"epoch": *[0-9]*' | grep -o '[0-9]*$'; }
       ($V run --image i --persist-every 20ms --dir $W::/ $L 2> $W/errors; echo $? > $W/status) &
       until test "$(epoch)" -gt 2 2> /dev/null; do :; done
       until test -s $W/errors; do cat /dev/zero >> /mnt/filler 2> /dev/null; done # also what a log that is removed gives back
       full=$(epoch)
       sleep 0.2
       test "$(epoch)" = $full && echo stays
       rm /mnt/filler
       until test "$(epoch)" -gt $full; do :; done
       wait
       cat $W/status $W/errors
       wc -l < $W/out`,
    );
    const [stays, status, errors, ...lines] = out.trimEnd().split("\n");
    expect({ stays, status, lines }).toEqual({ stays: "stays", status: "0", lines: ["401"] });
    expect(errors).toMatch(/^vermilion: no persistence point: \/mnt\/i.*free some space/);
  });

  test("it fills up before a later save: status 74, and the next run goes on from the save before", () => {
    const out = onDisk(
      "size=1m",
      `$V run --quiet --image i --fail-at-call fd_write:3 $M; echo $?
       $V run --quiet --image i $M > $W/output 2> $W/errors & P=$!
       until grep -q 5 $W/output; do sleep 0.02; done
       head -c 8M /dev/zero > /mnt/filler 2> /dev/null
       kill -PWR $P
       wait $P; echo $?
       cat $W/errors
       $V inspect i | grep -E 'status|epoch'
       rm /mnt/filler
       $V run --image i $M 2>&1 | head -4`,
    );
    const [...lines] = out.trimEnd().split("\n");
    expect(lines.slice(0, 4)).toEqual(["1", "2", "85", "74"]);
    expect(lines[4]).toContain("free some space");
    expect(lines.slice(5)).toEqual([
      "status       killed: it can go on from its last save",
      expect.stringMatching(/^epoch +1,/),
      expect.stringContaining("the last run was killed; going on from epoch 1"),
      expect.stringContaining("resuming i, epoch 1"),
      "3",
      "4",
    ]);
  });
});

test("a pipe without a reader as stdout: the guest's own affair", async () => {
  const script = `${process.execPath} ${mainPath} run --image ${join(shop.work, "piped")} ${counter} | head -2; echo done`;
  expect(execFileSync("bash", ["-c", script], { encoding: "utf8", env: { ...shop.environment } })).toBe("1\n2\ndone\n");
});
