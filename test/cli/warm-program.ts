/**
 * The command line, which answers one command after the other: most of what a short command costs is loading the program, and the suites ask for some
 * three hundred. That a process of its own says the same is tested for each command in warm-program.test.ts.
 */
import { runCommand } from "../../src/cli/run-command.ts";

export interface Asked {
  readonly args: readonly string[];
  /** Besides the environment that the process was started with. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Written behind the output on both ways, as a message of the channel may come before what was written earlier. */
  readonly end: string;
}

const environment = { ...process.env };

process.on("message", (asked: Asked) => void answer(asked));
process.on("disconnect", () => process.exit());

async function answer({ args, env, cwd, end }: Asked): Promise<void> {
  process.exitCode = undefined;
  process.env = { ...environment, ...env };
  process.chdir(cwd);
  const code = await runCommand(args);
  for (const output of [process.stdout, process.stderr]) {
    // Each command watches them, as a process has one.
    output.removeAllListeners("error");
    await new Promise((written) => output.write(end, written));
  }
  process.send?.(code);
}
