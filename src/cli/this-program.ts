import { resolve } from "node:path";
import type { ChildProgram } from "../control/child-specs.ts";
import { compileCacheEnvironment } from "./compile-cache.ts";

/** How this program is started again, for the processes of a mesh. */
export function thisProgram(): ChildProgram {
  const main = resolve(import.meta.dirname, "main.ts");
  return { command: process.execPath, args: [...process.execArgv, main], env: compileCacheEnvironment() };
}
