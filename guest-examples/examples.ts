/**
 * The guest examples: how each is built and what it prints. The READMEs tell people the same; tests/guest-examples
 * holds both against the compilers and against the runtime.
 *
 * E1  `build` runs in the example's folder; its words are also the command in the README.
 * E2  A committed module is small and has its name section but no debug information.
 * E3  What a run prints depends on nothing but the arguments, the input and the files named here.
 */
export type Compiler = "clang" | "rustc" | "go" | "asc";

export interface GuestExample {
  readonly name: string;
  readonly compiler: Compiler;
  /** The command line that makes `<name>.wasm`; its first word stands for the compiler that was found. */
  readonly build: readonly string[];
  /** False: too big to commit, built when it is wanted. */
  readonly committed: boolean;
  readonly args: readonly string[];
  /** A file of the example's folder that becomes standard input. */
  readonly stdin?: string;
  /** The example's folder is preopened as `/`. */
  readonly files?: true;
}

function inC(
  name: string,
  more: Partial<GuestExample> = {},
  flags: string[] = [],
  libraries: string[] = [],
): GuestExample {
  const build = [
    "clang",
    "--target=wasm32-wasi",
    "-O2",
    ...flags,
    "-Wl,--strip-debug",
    "-o",
    `${name}.wasm`,
    `${name}.c`,
  ];
  return { name, compiler: "clang", committed: true, args: [], ...more, build: [...build, ...libraries] };
}

export const guestExamples: readonly GuestExample[] = [
  inC("list-push"),
  inC("balanced-tree"),
  inC("n-body"),
  inC("word-count", { args: ["a.txt", "b.txt"], files: true }),
  inC("repl", { stdin: "input.txt" }),
  inC("sigpwr", {}, ["-D_WASI_EMULATED_SIGNAL"], ["-lwasi-emulated-signal"]),
  {
    name: "memcached",
    compiler: "clang",
    build: [
      ..."clang --target=wasm32-wasi -O2 -Wl,-z,stack-size=1048576 -Wl,--strip-debug -o memcached.wasm".split(" "),
      ..."memcached.c cache.c connection.c protocol.c statistics.c words.c".split(" "),
    ],
    committed: true,
    args: [],
    stdin: "input.txt",
  },
  {
    name: "rust-word-frequency",
    compiler: "rustc",
    build: [
      ..."rustc --edition 2021 --target wasm32-wasi -C opt-level=s -C lto -C panic=abort -C codegen-units=1".split(" "),
      ..."-C strip=debuginfo -o rust-word-frequency.wasm rust-word-frequency.rs".split(" "),
    ],
    committed: true,
    args: [],
    stdin: "input.txt",
  },
  {
    name: "go-channels",
    compiler: "go",
    build: "env GOOS=wasip1 GOARCH=wasm go build -ldflags=-s -o go-channels.wasm go-channels.go".split(" "),
    committed: false,
    args: [],
  },
  {
    name: "assemblyscript-mandelbrot",
    compiler: "asc",
    build: [
      ..."asc --config node_modules/@assemblyscript/wasi-shim/asconfig.json".split(" "),
      ..."--lib node_modules/@assemblyscript/wasi-shim/assembly --optimize --debug".split(" "),
      ..."assemblyscript-mandelbrot.ts --outFile assemblyscript-mandelbrot.wasm".split(" "),
    ],
    committed: true,
    args: [],
  },
];
