/** What a load generator sends and what must come back, byte for byte, in the two protocols. */

/** Bytes of keys and values, as with the other rivals. */
const KEY_LENGTH = 16;
const VALUE_LENGTH = 64;

export interface Exchange {
  readonly request: Buffer;
  readonly answer: Buffer;
}

/** For each key a get, which finds it, and a set, always of the same value. */
export interface Exchanges {
  readonly gets: readonly Exchange[];
  readonly sets: readonly Exchange[];
}

export type ProtocolName = "memcached" | "redis";

const keyOf = (index: number) => `key-${String(index).padStart(KEY_LENGTH - 4, "0")}`;
const textOf = (index: number) => `${index}:`.padEnd(VALUE_LENGTH, "abcdefghijklmnopqrstuvwxyz");

const exchange = (request: string, answer: string): Exchange => ({
  request: Buffer.from(request),
  answer: Buffer.from(answer),
});

const bulk = (text: string) => `$${text.length}\r\n${text}\r\n`;

export function exchangesOf(protocol: ProtocolName, keys: number): Exchanges {
  const pairs = Array.from({ length: keys }, (_, index) => [keyOf(index), textOf(index)] as const);
  if (protocol === "redis") {
    return {
      gets: pairs.map(([key, value]) => exchange(`*2\r\n${bulk("GET")}${bulk(key)}`, bulk(value))),
      sets: pairs.map(([key, value]) => exchange(`*3\r\n${bulk("SET")}${bulk(key)}${bulk(value)}`, "+OK\r\n")),
    };
  }
  return {
    gets: pairs.map(([key, value]) =>
      exchange(`get ${key}\r\n`, `VALUE ${key} 0 ${value.length}\r\n${value}\r\nEND\r\n`),
    ),
    sets: pairs.map(([key, value]) => exchange(`set ${key} 0 0 ${value.length}\r\n${value}\r\n`, "STORED\r\n")),
  };
}
