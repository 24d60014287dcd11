/** Third-party sources, from the package registries that carry them, at pinned versions, into .cache/corpus only. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { cached } from "./build-cache.js";
import { runCommand, Unavailable } from "./run-command.js";

/** The only archive in a folder that a package client downloaded into. */
function archiveIn(folder: string, pattern: RegExp): string {
  const name = readdirSync(folder).find((each) => pattern.test(each));
  if (name === undefined) throw new Unavailable(`${folder}: the package client left no archive`);
  return join(folder, name);
}

function unpack(archive: string, output: string, members: readonly string[]): void {
  mkdirSync(output, { recursive: true });
  const patterns = members.length === 0 ? [] : ["--wildcards", ...members];
  runCommand(["tar", "--extract", "--file", archive, "--directory", output, "--strip-components=1", ...patterns]);
}

/** The folder of an npm package, unpacked and never installed: no script of it runs. */
export function npmPackage(name: string, version: string, members: readonly string[] = []): string {
  const id = `${name.replace("/", "+")}-${version}`;
  return cached("packages", id, { words: ["npm", name, version, ...members], files: [] }, (output) => {
    const workplace = dirname(output);
    runCommand(["npm", "pack", "--silent", "--pack-destination", workplace, `${name}@${version}`], { cwd: workplace });
    unpack(archiveIn(workplace, /\.tgz$/), output, members);
  });
}

/** npm packages with their dependencies, installed into a folder of their own; returns its node_modules. */
export function npmInstallation(...packages: readonly string[]): string {
  const folder = cached("installations", "npm", { words: packages, files: [] }, (output) => {
    mkdirSync(output);
    writeFileSync(join(output, "package.json"), "{}");
    runCommand(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", ...packages], {
      cwd: output,
    });
  });
  return join(folder, "node_modules");
}

/** The folder of a source distribution from PyPI, unpacked and never built. */
export function pypiSource(name: string, version: string): string {
  return cached("packages", `${name}-${version}`, { words: ["pypi", name, version], files: [] }, (output) => {
    const workplace = dirname(output);
    const pip = ["python3", "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"];
    runCommand([...pip, "--no-binary", ":all:", "--dest", workplace, `${name}==${version}`]);
    unpack(archiveIn(workplace, /\.tar\.gz$/), output, []);
  });
}

/**
 * Members of the upstream archive of a Debian source package. The machine's own apt configuration stays as it is: a copy
 * of its sources, asking for source packages, and its own lists live beside the download.
 */
export function debianSource(name: string, members: readonly string[]): string {
  return cached("packages", name, { words: ["debian", name, ...members], files: [] }, (output) => {
    const workplace = dirname(output);
    const parts = join(workplace, "sources");
    mkdirSync(join(workplace, "lists", "partial"), { recursive: true });
    mkdirSync(parts);
    const etc = "/etc/apt";
    const debianSources = [`${etc}/sources.list.d/debian.sources`, `${etc}/sources.list`].filter((path) =>
      existsSync(path),
    );
    if (debianSources.length === 0) throw new Unavailable("no Debian package sources on this machine");
    for (const path of debianSources) {
      const text = readFileSync(path, "utf8")
        .replace(/^Types:.*$/gm, "Types: deb-src")
        .replace(/^deb /gm, "deb-src ");
      writeFileSync(join(parts, path.endsWith(".sources") ? "debian.sources" : "debian.list"), text);
    }
    const options = [
      "Dir::Etc::sourcelist=/dev/null",
      `Dir::Etc::sourceparts=${parts}`,
      `Dir::State::lists=${join(workplace, "lists")}`,
      "APT::Sandbox::User=root",
    ].flatMap((option) => ["-o", option]);
    runCommand(["apt-get", ...options, "-qq", "update"]);
    const download = ["source", "--download-only", "--tar-only", "--only-source", name];
    runCommand(["apt-get", ...options, "-qq", ...download], { cwd: workplace });
    unpack(archiveIn(workplace, /\.orig\.tar\.\w+$/), output, members);
  });
}

/** A single file of an unpacked package, copied: for programs that are built already. */
export function copyOf(path: string) {
  return (output: string): void => {
    if (!existsSync(path)) throw new Unavailable(`${path}: the package does not have it`);
    copyFileSync(path, output);
  };
}
