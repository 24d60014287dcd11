import { isUtf8 } from "node:buffer";
import { existsSync, readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { VermilionError } from "../index.js";
import { defineCall } from "./call.js";
import { defineDiff } from "./diff.js";
import { defineDrop } from "./drop.js";
import { defineExplore } from "./explore.js";
import { defineFail } from "./fail.js";
import { defineFork } from "./fork.js";
import { defineCollect } from "./gc.js";
import { defineHistory } from "./history.js";
import { defineInspect } from "./inspect.js";
import { type MessageOptions, Messages } from "./messages.js";
import { definePersist } from "./persist.js";
import { definePrune } from "./prune.js";
import { defineProcesses } from "./ps.js";
import { definePull } from "./pull.js";
import { definePush } from "./push.js";
import { defineReplay } from "./replay.js";
import { defineResume } from "./resume.js";
import { defineRun } from "./run.js";
import { EXIT } from "./status.js";
import { defineVerify } from "./verify.js";

/** Runs one command; the result is this program's exit status. */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  const messages = new Messages();
  let complaint = "";
  const program = new Command("vermilion")
    .description("Runs WASI programs as persistent processes: a power failure is an exception, not an end.")
    .version(version(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print help")
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeErr: (text) => {
        complaint += text;
      },
    })
    .showHelpAfterError("(see --help)")
    .hook("preAction", (_, command) => messages.configure(command.opts<MessageOptions>()))
    .hook("preAction", checkWorkingDirectory)
    .hook("preAction", checkArguments);
  let status: number = EXIT.success;
  const command = (name: string): Command => program.command(name).exitOverride().copyInheritedSettings(program);
  const finish = (value: number): void => {
    status = value;
  };
  defineRun(command("run"), messages, finish);
  defineResume(command("resume"), messages, finish);
  defineCall(command("call"), messages, finish);
  defineFail(command("fail"), messages);
  definePersist(command("persist"), messages);
  defineInspect(command("inspect"));
  defineReplay(command("replay"), messages);
  defineProcesses(command("ps"));
  defineExplore(command("explore"), messages, finish);
  defineHistory(command("history"), messages);
  defineDiff(command("diff"));
  defineFork(command("fork"), messages);
  defineDrop(command("drop"), messages);
  defineCollect(command("gc"));
  defineVerify(command("verify"), finish);
  definePush(command("push"), messages);
  definePull(command("pull"), messages);
  definePrune(command("prune"));
  process.once("beforeExit", () => {
    process.exitCode = messages.failure(abandoned());
  });
  try {
    await program.parseAsync(argv);
  } catch (error) {
    if (!(error instanceof CommanderError)) return messages.failure(error);
    if (error.exitCode === 0) return EXIT.success;
    messages.configure({ json: asksForJson(program, argv) });
    return messages.misuse(complaint);
  }
  return status;
}

/** Node ends a program by itself, with status 0, once it waits for nothing that could still come: a promise of somebody's driver. */
function abandoned(): VermilionError {
  const reason = "given up: a module of yours has promised an answer that can never come";
  return new VermilionError("NO_ANSWER", `${reason}; nothing is confirmed`);
}

/** The options were not understood, so those of the command are looked for, up to its first argument. */
function asksForJson(program: Command, [, , name, ...words]: readonly string[]): boolean {
  const command = program.commands.find((each) => each.name() === name);
  if (command === undefined) return false;
  if (command.opts<MessageOptions>().json === true) return true;
  for (let at = 0; at < words.length; at++) {
    const word = words[at] as string;
    if (word === "--json") return true;
    if (word === "--" || !word.startsWith("-")) break;
    if (command.options.find(({ long, short }) => word === long || word === short)?.required === true) at++;
  }
  return false;
}

/** Node has put other characters where an argument was no UTF-8: another file, or another text for the program. */
function checkArguments(): void {
  if (!process.argv.some((argument) => argument.includes("\ufffd"))) return;
  const given = readFileSync("/proc/self/cmdline");
  if (isUtf8(given)) return;
  const reason = "an argument is not valid UTF-8, and cannot be passed on as it is";
  throw new VermilionError("USAGE", `${reason}; rename the file, or grant a directory above it (--dir)`);
}

/** Node itself asks for it in many places, and says only "uv_cwd". */
function checkWorkingDirectory(): void {
  let path: string;
  try {
    path = process.cwd();
  } catch (cause) {
    throw new VermilionError("NOT_FOUND", "the working directory is not there any more; change to another one", {
      cause,
    });
  }
  if (path.includes("\ufffd") && !existsSync(path)) {
    const reason = "the name of the working directory is not valid UTF-8";
    throw new VermilionError("USAGE", `${path}: ${reason}; change to another one, or rename it`);
  }
}

function version(): string {
  const text = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
