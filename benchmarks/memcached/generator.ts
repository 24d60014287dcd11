/**
 * The load generator, a process of its own: some connections, each with a number of requests under way, gets and sets of random keys
 * by a fixed seed. Every answer is compared with what it must be.
 *
 *     node dist/benchmarks/memcached/generator.js --port P [--protocol memcached|redis] [--connections N] [--depth N]
 *         [--operations N] [--gets PERCENT] [--keys N] [--seed N] [--fill]
 *
 * A connection sends `depth` requests with one write and waits for all of their answers. --fill sets every key first. Prints one line of
 * JSON: a LoadResult. A tenth of the requests is sent before them, to warm up, and not counted.
 */
import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { parseArgs } from "node:util";
import { Random } from "../../tests/corpus/random.js";
import { percentile } from "../report.js";
import type { LoadResult } from "./measurement.js";
import { type Exchange, exchangesOf, type ProtocolName } from "./protocols.js";

/** Sends batches one after the other until `next` has no more; `took` is told of each. */
async function exchangeAll(
  socket: Socket,
  next: () => readonly Exchange[] | undefined,
  took: (milliseconds: number) => void,
): Promise<void> {
  let expected: Buffer = Buffer.alloc(0);
  let received = 0;
  let sentAt = 0;
  let finish: (error?: Error) => void = () => {};
  const finished = new Promise<void>((resolve, reject) => {
    finish = (error) => (error === undefined ? resolve() : reject(error));
  });
  const send = () => {
    const batch = next();
    if (batch === undefined) return finish();
    const [first] = batch;
    const alone = batch.length === 1 && first !== undefined;
    expected = alone ? first.answer : Buffer.concat(batch.map(({ answer }) => answer));
    received = 0;
    const request = alone ? first.request : Buffer.concat(batch.map((each) => each.request));
    sentAt = performance.now();
    socket.write(request);
  };
  const onData = (chunk: Buffer) => {
    const end = received + chunk.length;
    if (end > expected.length || chunk.compare(expected, received, end) !== 0)
      return finish(new Error(`unexpected answer: ${JSON.stringify(chunk.toString("latin1", 0, 200))}`));
    received = end;
    if (received < expected.length) return;
    took(performance.now() - sentAt);
    send();
  };
  const onClose = () => finish(new Error("the server closed a connection"));
  socket.on("data", onData).on("close", onClose);
  send();
  try {
    await finished;
  } finally {
    socket.off("data", onData).off("close", onClose);
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      port: { type: "string" },
      protocol: { type: "string", default: "memcached" },
      connections: { type: "string", default: "8" },
      depth: { type: "string", default: "1" },
      operations: { type: "string", default: "100000" },
      gets: { type: "string", default: "95" },
      keys: { type: "string", default: "10000" },
      seed: { type: "string", default: "1" },
      fill: { type: "boolean", default: false },
    },
  });
  const [depth, operations, getShare, keys] = [values.depth, values.operations, values.gets, values.keys].map(
    Number,
  ) as [number, number, number, number];
  const { gets, sets } = exchangesOf(values.protocol as ProtocolName, keys);
  const sockets = await Promise.all(
    Array.from({ length: Number(values.connections) }, async () => {
      const socket = createConnection(Number(values.port), "127.0.0.1").setNoDelay(true);
      await once(socket, "connect");
      return socket;
    }),
  );
  const random = new Random(Number(values.seed));
  const below = (limit: number): number => random.upTo(limit) - 1;
  const pick = () => {
    const exchanges = below(100) < getShare ? gets : sets;
    return exchanges[below(keys)] as Exchange;
  };
  const run = async (count: number, choose: (index: number) => Exchange, batchTimes: number[]) => {
    let given = 0;
    const next = () => {
      const length = Math.min(depth, count - given);
      if (length <= 0) return undefined;
      return Array.from({ length }, () => choose(given++));
    };
    await Promise.all(sockets.map((socket) => exchangeAll(socket, next, (time) => batchTimes.push(time))));
  };
  if (values.fill) await run(keys, (index) => sets[index] as Exchange, []);
  await run(Math.ceil(operations / 10), pick, []);
  const times: number[] = [];
  const usedBefore = process.cpuUsage();
  const startedAt = performance.now();
  await run(operations, pick, times);
  const milliseconds = performance.now() - startedAt;
  const used = process.cpuUsage(usedBefore);
  for (const socket of sockets) socket.destroy();
  const result: LoadResult = {
    operations,
    perSecond: Math.round((operations * 1000) / milliseconds),
    p50Microseconds: Math.round(1000 * percentile(times, 0.5)),
    p99Microseconds: Math.round(1000 * percentile(times, 0.99)),
    generatorBusy: Number(((used.user + used.system) / 1000 / milliseconds).toFixed(3)),
  };
  console.log(JSON.stringify(result));
}

await main();
