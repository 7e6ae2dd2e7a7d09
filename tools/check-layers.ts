/** Fails when a folder of src imports from a folder to its right (design: data flows left to right). */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";

const ROOMS: readonly string[] = [
  "resources",
  "model",
  "policy",
  "analysis",
  "identity",
  "dataplane",
  "authorizer",
  "substrate",
  "telemetry",
  "control",
  "attack",
  "cli",
];
/** Rooms that do no I/O: no Node built-ins at all. */
const PURE: ReadonlySet<string> = new Set(["model", "policy", "analysis"]);

const src = resolve(import.meta.dirname, "../src");
const problems: string[] = [];

for (const entry of readdirSync(src, { recursive: true, encoding: "utf8" })) {
  if (entry.endsWith(".ts") && entry.includes("/")) checkFile(entry);
}

function checkFile(file: string): void {
  const room = file.slice(0, file.indexOf("/"));
  const rank = ROOMS.indexOf(room);
  if (rank < 0) problems.push(`src/${file}: the room "${room}" is not in the table of tools/check-layers.ts`);
  const text = readFileSync(join(src, file), "utf8");
  for (const match of text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*"([^"]+)"/g)) {
    const target = match[1] ?? "";
    if (target.startsWith("node:") && PURE.has(room)) {
      problems.push(`src/${file}: "${room}" does no I/O and may not import ${target}`);
    }
    if (!target.startsWith(".")) continue;
    const imported = relative(src, resolve(join(src, file), "..", target));
    const importedRoom = imported.includes("/") ? imported.slice(0, imported.indexOf("/")) : "";
    if (importedRoom === "" || importedRoom === room) continue;
    if (ROOMS.indexOf(importedRoom) > rank) {
      problems.push(`src/${file}: "${room}" may not import from "${importedRoom}" (to its right)`);
    }
  }
}

for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log("layers: every import points left");
