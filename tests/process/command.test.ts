import { describe, expect, test } from "vitest";
import { type Command, defaultImageDirectory, sameCommand } from "../../runtime/process/command.js";
import { parseCommand } from "../../runtime/process/command-record.js";

const command: Command = {
  module: "/programs/tool.wasm",
  args: ["tool.wasm", "a"],
  env: [["A", "1"]],
  preopens: [{ host: "/data", guest: "/" }],
  listen: [],
  instance: false,
  invoke: null,
  maxMemoryByteLength: null,
  maximumDescriptors: null,
};

const others: readonly Partial<Command>[] = [
  { module: "/other/tool.wasm" },
  { args: ["tool.wasm"] },
  { args: ["tool.wasm", "a", ""] },
  { env: [["A", "2"]] },
  { env: [] },
  { preopens: [{ host: "/data", guest: "/data" }] },
  { preopens: [] },
  { invoke: "a" },
  { instance: true },
  { maxMemoryByteLength: 65536 },
  { listen: ["127.0.0.1:8080"] },
  { maximumDescriptors: 8 },
];

describe("defaultImageDirectory", () => {
  test("the same command: the same directory, named after the program", () => {
    const directory = defaultImageDirectory("/work", command);
    expect(directory).toMatch(/^\/work\/\.vermilion\/tool-[0-9a-f]{16}$/);
    expect(defaultImageDirectory("/work", structuredClone(command))).toBe(directory);
  });

  test("a program with a long name: one that a file system takes", () => {
    for (const name of ["m".repeat(250), "é".repeat(125), "\u{1f426}".repeat(62)]) {
      const directory = defaultImageDirectory("/work", { ...command, module: `/${name}.wasm` });
      expect(Buffer.byteLength(directory.slice("/work/.vermilion/".length))).toBeLessThanOrEqual(255);
      expect(directory).toMatch(/^\/work\/\.vermilion\/(m|é|\u{1f426})+-[0-9a-f]{16}$/u);
    }
  });

  test("any other command: another directory", () => {
    const directories = [{}, ...others].map((change) => defaultImageDirectory("/work", { ...command, ...change }));
    expect(new Set(directories).size).toBe(directories.length);
  });
});

describe("sameCommand", () => {
  test.each(others)("%j: another one", (change) => {
    expect(sameCommand(command, { ...command, ...change })).toBe(false);
  });

  test("a copy: the same", () => {
    expect(sameCommand(command, parseCommand(JSON.parse(JSON.stringify(command)), "image"))).toBe(true);
  });
});

describe("parseCommand", () => {
  test("an early image, without sockets and descriptor limit: none", () => {
    const { listen: _, maximumDescriptors: __, instance: ___, ...early } = command;
    expect(parseCommand(early, "image")).toEqual(command);
  });

  test.each<[string, unknown]>([
    ["nothing", undefined],
    ["null", null],
    ["no arguments", { ...command, args: [] }],
    ["a NUL in an argument", { ...command, args: ["a\0b"] }],
    ["numbers for arguments", { ...command, args: [1] }],
    ["half a variable", { ...command, env: [["A"]] }],
    ["a directory that is relative", { ...command, preopens: [{ host: "..", guest: "/" }] }],
    ["a directory without a name", { ...command, preopens: [{ host: "/" }] }],
    ["a function that is a number", { ...command, invoke: 5 }],
    ["a negative limit", { ...command, maxMemoryByteLength: -1 }],
    ["half an instance", { ...command, instance: 0.5 }],
    ["half a descriptor", { ...command, maximumDescriptors: 3.5 }],
    ["addresses that are numbers", { ...command, listen: [8080] }],
  ])("%s: IMAGE_DAMAGED", (_, value) => {
    expect(() => parseCommand(value, "image")).toThrow(expect.objectContaining({ code: "IMAGE_DAMAGED" }));
  });
});
