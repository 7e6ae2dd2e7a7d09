/** The command line's way in: a part of the mesh (a hidden subcommand that `up` starts), or a command of a person's. */
import { useCompileCache } from "./compile-cache.ts";
import { isProcessPart, runProcessPart } from "./process-parts.ts";
import { resolveOwnFiles } from "./resolve-own-files.ts";

useCompileCache();
resolveOwnFiles();

const [first, ...rest] = process.argv.slice(2);
if (isProcessPart(first)) await runProcessPart(first, rest);
else {
  const { runCommand } = await import("./run-command.ts");
  process.exitCode = await runCommand(process.argv.slice(2));
}
