// What the lock files of npm say, looked at without a network: every package comes from the
// registry and has a check sum, and none runs a script when it is installed.
//
// usage: node packages.mjs [FOLDER…]      (folders of lock files; without one, all that git knows)

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

// Who may run a script: "name@version": "YYYY-MM-DD: why it must".
const MAY_RUN = {};
const INSTALL = ["preinstall", "install", "postinstall"];
const WANTS = ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"];
// A version, a range or a tag, perhaps of a package under another name. No path and no address.
const RANGE = /^(npm:(@[\w.-]+\/)?[\w.-]+(@|$))?[\w.+\-~^<>=*| ]*$/;

const wrong = [];
const excused = new Set();

const lockFile = (file) => {
  const { lockfileVersion, packages } = JSON.parse(readFileSync(file, "utf8"));
  if (lockfileVersion !== 3 || !packages?.[""]) {
    wrong.push(`${file} is no lock file of version 3; write it again with npm 7 or newer`);
    return 0;
  }
  for (const [at, entry] of Object.entries(packages)) {
    const version = entry.version ? `@${entry.version}` : "";
    const name = `${entry.name ?? at.split("node_modules/").at(-1)}${version}`;
    const say = (what) => wrong.push(`${file}: ${name} ${what}`);
    wants(entry, say);
    if (at === "") continue;
    source(at, entry, say);
    scripts(join(dirname(file), at), entry, name, say);
  }
  return Object.keys(packages).length - 1;
};

// Nor may what it wants lead elsewhere, on the day on which the lock file is written again.
const wants = (entry, say) => {
  for (const [name, range] of WANTS.flatMap((kind) => Object.entries(entry[kind] ?? {}))) {
    if (!RANGE.test(range)) say(`wants ${name} from ${range}, which is not the registry`);
  }
};

const source = (at, { resolved, integrity, link, inBundle }, say) => {
  if (link || !at.startsWith("node_modules/")) return say("is a folder of this machine");
  // Ours are written without addresses (.npmrc): such a package comes from npm's own registry.
  if (resolved !== undefined) return say(`comes from ${resolved}, which is not the registry`);
  if (inBundle) return say("comes inside another package, without a check sum of its own");
  if (!/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? "")) {
    say(`has no sha512 check sum (its integrity: ${integrity ?? "none"})`);
  }
};

// The lock file knows of scripts what its registry told; what is installed knows for certain.
const scripts = (folder, entry, name, say) => {
  const found = entry.hasInstallScript ? ["hasInstallScript"] : [];
  const manifest = join(folder, "package.json");
  if (existsSync(manifest)) {
    const { scripts: own = {} } = JSON.parse(readFileSync(manifest, "utf8"));
    found.push(...INSTALL.filter((script) => own[script]));
    // npm runs node-gyp for a package that has this file, whether it says so or not.
    if (existsSync(join(folder, "binding.gyp"))) found.push("binding.gyp");
  }
  if (found.length === 0) return;
  excused.add(name);
  if (!MAY_RUN[name]) say(`runs a script when it is installed (${found.join(", ")})`);
};

const known = () => {
  const listed = execFileSync("git", ["ls-files", "*package-lock.json"], { encoding: "utf8" });
  return listed.split("\n").filter(Boolean);
};

const given = process.argv.slice(2).map((folder) => join(folder, "package-lock.json"));
const files = given.length > 0 ? given : known();
if (files.length === 0) wrong.push("there is no package-lock.json");
for (const file of files) console.log(`${file}: ${lockFile(file)} packages`);
for (const [name, reason] of Object.entries(MAY_RUN)) {
  if (!/^\d{4}-\d{2}-\d{2}: \S/.test(reason)) wrong.push(`MAY_RUN: ${name} has no date and reason`);
  if (given.length === 0 && !excused.has(name)) wrong.push(`MAY_RUN: ${name} needs none any more`);
}
for (const why of wrong) console.error(`error: ${why}`);
process.exitCode = wrong.length > 0 ? 1 : 0;
