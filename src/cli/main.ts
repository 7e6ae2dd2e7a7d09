/** The command line's way in: a part of the mesh (a hidden subcommand that `up` starts), or a command of a person's. */
import { enableCompileCache } from "node:module";
import { resolve } from "node:path";
import { isProcessPart, runProcessPart } from "./process-parts.ts";

// Types are stripped, and code compiled, once: 0.2 s less for every process of a mesh. Beside the code, where nobody can
// write who could not write the code itself.
enableCompileCache(resolve(import.meta.dirname, "../../.cache/compile"));

const [first, ...rest] = process.argv.slice(2);
if (isProcessPart(first)) await runProcessPart(first, rest);
else {
  const { runCommand } = await import("./run-command.ts");
  process.exitCode = await runCommand(process.argv.slice(2));
}
