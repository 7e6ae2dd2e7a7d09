import type { Command } from "commander";
import type { RotationKind } from "../../identity/rotation/rotation.ts";
import { examples, formatOption, parseDuration, stateOption } from "../options.ts";
import { type RotateOptions, runRotate } from "../run-rotate.ts";

export function configureRotateRoot(group: Command): void {
  configure(group, "root", "replace the root: trust both, sign with the new, trust the new alone");
}

export function configureRotateIntermediate(group: Command): void {
  configure(group, "intermediate", "replace the intermediate, and with it every certificate of a proxy");
}

function configure(group: Command, kind: RotationKind, description: string): void {
  group
    .command(`rotate-${kind}`)
    .description(description)
    .addOption(stateOption())
    .addOption(formatOption())
    .option("--force", "let each phase go on without proxies that have not acknowledged after 15 s")
    .option("--overlap <duration>", "trust the old so long at least after the new signs", parseDuration)
    .option("--timeout <duration>", "stop showing after that, with exit code 2", parseDuration)
    .addHelpText(
      "after",
      `
The control plane does it; this command shows it. Each phase ends when every proxy has acknowledged, connections go on. Ctrl-C
ends the showing alone: the rotation goes on, and the same command shows it again. After a crash it goes on by itself.

Exit code: 0 done, 2 not done within --timeout, 130 Ctrl-C, 1 failed.
${examples(
  `bulwark ca rotate-${kind}`,
  `bulwark ca rotate-${kind} --format json --timeout 5m`,
  `bulwark ca rotate-${kind} --force   # a proxy is lost for good and holds up the phase`,
)}`,
    )
    .action(async (options: RotateOptions) => {
      process.exitCode = await runRotate(kind, options);
    });
}
