/** The entry of a searcher's thread: it explores by itself, one order after the other. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { parentPort, workerData } from "node:worker_threads";
import { invariant } from "../../pmem/error.js";
import { ENGINE_FLAGS } from "../process/engine-flags.js";
import { HostFunctions } from "../process/host-functions.js";
import { checkImports } from "../process/imports.js";
import { Program } from "../process/program.js";
import { serializeError } from "../process/serialized-error.js";
import { Explorer } from "./explorer.js";
import { exploreRestartsHere } from "./restarts-here.js";
import type { SearcherData, SearchOrder, SearchReport } from "./searcher-protocol.js";
import type { Subject } from "./subject.js";
import { Tally } from "./tally.js";

/**
 * Bytes of code that a function runs through before the engine optimises it; the engine's own limit is 1.8 or 13 million. Each
 * failure makes continuations of its own, which run once or a few times: to optimise them was a third of a search's time.
 * docs/testing.md#how-it-is-fast-and-what-that-leaves-out
 */
const TIERING_BUDGET = 100_000_000;
[...ENGINE_FLAGS, `--wasm-tiering-budget=${TIERING_BUDGET}`].forEach(setFlagsFromString);

const port = parentPort;
invariant(port !== null, "the worker's entry runs in a worker");
const given = workerData as SearcherData;
const tally = new Tally(given.tally);
let explorer: Explorer | undefined;

function load({ moduleBytes }: Subject): Program {
  const program = Program.load(moduleBytes, { cacheDirectory: given.cacheDirectory, exact: true });
  checkImports(program.module, new HostFunctions());
  return program;
}

function prepare(): Explorer {
  const { subject, aspects, checker, checkerExport, keepsContents, folder } = given;
  mkdirSync(join(folder, "checker"), { recursive: true });
  const checkers = {
    aspects: new Set(aspects),
    exportName: checkerExport,
    keepsContents,
    program: checker && { program: load(checker), subject: checker },
  };
  return new Explorer(load(subject), subject, folder, checkers, {
    isOver: () => {
      if (tally.failures >= (given.mostFailures ?? Number.POSITIVE_INFINITY)) tally.stop();
      return tally.isStopped;
    },
    looked: (failures) => tally.countPoint(failures),
  });
}

function carryOut(order: SearchOrder): SearchReport {
  if (order.kind === "restarts") {
    const { options, part } = order;
    const { folder } = given;
    mkdirSync(folder, { recursive: true });
    const exploration = exploreRestartsHere(options, { folder, part, others: tally });
    return { kind: "restarted", exploration };
  }
  explorer ??= prepare();
  switch (order.kind) {
    case "refer": {
      const reference = explorer.refer();
      explorer.reference = reference;
      return { kind: "reference", reference };
    }
    case "reference":
      explorer.reference = order.reference;
      return { kind: "ready" };
    case "walk":
      return { kind: "walked", report: explorer.walk(order.order) };
    case "repeat":
      return { kind: "repeated", repetition: explorer.repeat(order.trace) };
  }
}

port.on("message", (order: SearchOrder) => {
  let report: SearchReport;
  try {
    report = carryOut(order);
  } catch (error) {
    report = { kind: "failed", error: serializeError(error) };
  }
  port.postMessage(report);
});
