/**
 * How modules are loaded under mutation: the project's own code from a snapshot, so that nobody's editing disturbs a run, with the
 * mutants in it; what tests import of the test runner and of fast-check from stand-ins.
 */
import { existsSync, readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = join(import.meta.dirname, "../..");
const own = (name: string): string => pathToFileURL(join(import.meta.dirname, name)).href;
const COLLECTOR = own("collector.ts");
const FAST_CHECK = own("bounded-fast-check.ts");
const REMEMBERED_LOAD = own("remembered-load.ts");
const TESTS = pathToFileURL(join(root, "test/")).href;
const SOURCES = pathToFileURL(join(root, "src/")).href;
const CORPUS = pathToFileURL(join(root, "tools/corpus/")).href;
const LOAD = `${SOURCES}resources/load.ts`;

/** @param snapshot folder with a copy of `src`, `test/policy` and what its tests import. */
export function useSnapshot(snapshot: string): void {
  registerHooks({
    resolve(specifier, context, next) {
      const { parentURL = "" } = context;
      if (parentURL.startsWith(TESTS)) {
        if (specifier === "node:test") return { url: COLLECTOR, shortCircuit: true };
        if (specifier === "fast-check") return { url: FAST_CHECK, shortCircuit: true };
      }
      const found = next(specifier, context);
      if (found.url === LOAD && parentURL !== REMEMBERED_LOAD)
        return { url: REMEMBERED_LOAD, shortCircuit: true };
      return found;
    },
    load(url, context, next) {
      if (![TESTS, SOURCES, CORPUS].some((folder) => url.startsWith(folder))) return next(url, context);
      const file = relative(root, fileURLToPath(url));
      const copy = join(snapshot, file);
      if (!existsSync(copy)) return next(url, context);
      const source = readFileSync(copy, "utf8");
      const inSources = url.startsWith(SOURCES);
      return {
        format: "module-typescript",
        source: inSources ? withResets(source) : source,
        shortCircuit: true,
      };
    },
  });
}

/** `let last = "";` of a module, whether a mutant sits in its first value or not. */
const VARIABLE = /^let (\w+)(?:: [^=\n]+)? = (.+);$/gm;
const EMPTY_COLLECTION = /^const (\w+)(?:: [^=\n]+)? = new (?:Map|Set)(?:<[^;\n]*>)?\(\);$/gm;

/** What a module memorizes is put back whenever another mutant is switched on. */
function withResets(source: string): string {
  const variables = [...source.matchAll(VARIABLE)].map(([, name]) => name ?? "");
  const collections = [...source.matchAll(EMPTY_COLLECTION)].map(([, name]) => `${name}.clear();`);
  const firsts = variables.map((name) => `const stryFirst_${name} = ${name};`);
  const resets = [...variables.map((name) => `${name} = stryFirst_${name};`), ...collections];
  if (resets.length === 0 && !source.includes("WeakMap")) return source;
  const board = "globalThis.__mutation__";
  return `const WeakMap = ${board}.WeakMap;\n${source}\n${firsts.join("\n")}\n${board}.onReset(() => { ${resets.join(" ")} });\n`;
}
