import { Command, CommanderError } from "commander";
import { operationalCode } from "../control/operational-error.ts";
import { watchOutput } from "./closed-pipe.ts";
import { COMMANDS } from "./command-registry.ts";
import { EXIT, type ExitCode, exitCodeOfFailure } from "./exit-code.ts";
import { PROGRAM_VERSION } from "./program-version.ts";

/**
 * Runs one command of a person's.
 * @returns the exit code; every failure has been printed.
 */
export async function runCommand(args: readonly string[]): Promise<ExitCode> {
  watchOutput();
  try {
    const program = await programFor(args);
    await program.parseAsync([...args], { from: "user" });
    return (process.exitCode as ExitCode | undefined) ?? EXIT.ok;
  } catch (error) {
    return report(error);
  }
}

async function programFor(args: readonly string[]): Promise<Command> {
  const program = new Command("bulwark")
    .description("The security plane of a service mesh: run it, ask it, attack it, audit it.")
    .usage("COMMAND [OPTIONS]")
    .version(PROGRAM_VERSION, "-V, --version")
    .exitOverride()
    .showHelpAfterError("(add --help to see how it is written)")
    .helpCommand("help [COMMAND]", "show help for a command")
    .addHelpText(
      "after",
      "\nFirst steps:\n  $ bulwark up examples/egress --simulate-external\n  $ bulwark call team-a/app-a https://www.ibm.com/\n",
    );
  for (const entry of COMMANDS) {
    const command = program.command(entry.name).description(entry.summary);
    // For help on a command commander needs its options, for all else only the one that runs.
    if (args.includes(entry.name)) (await entry.load()).configure(command);
  }
  return program;
}

function report(error: unknown): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.invalid;
  const code = operationalCode(error);
  if (code !== undefined && error instanceof Error) {
    process.stderr.write(`bulwark: ${error.message}\n`);
    return exitCodeOfFailure(code);
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`bulwark: BUG: ${text}\n`);
  return EXIT.failed;
}
