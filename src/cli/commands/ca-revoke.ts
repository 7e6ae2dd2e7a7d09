import { type Command, Option } from "commander";
import {
  type IntermediateReport,
  REVOCATION_REASONS,
  type RevokeReport,
} from "../../control/revocation/messages.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { askControl } from "../ask-control.ts";
import { examples, formatOption, type StateOptions, stateOf, stateOption } from "../options.ts";
import { renderIntermediate, renderRevocation } from "../render/ca-status.ts";
import { revocationTarget } from "../revocation-target.ts";

interface RevokeOptions extends StateOptions {
  readonly format: string;
  readonly workload?: string;
  readonly reason: string;
  readonly block?: boolean;
  readonly intermediate?: string | true;
}

export function configure(group: Command): void {
  group
    .command("revoke")
    .description(
      "revoke a certificate and its key, or all that an identity has: at once, on live connections, too",
    )
    .argument("[serial|spiffe-id]", "a certificate's serial number, or an identity")
    .option("--workload <ns/name>", "the identity that this workload runs as")
    .addOption(
      new Option("--reason <reason>", "as CRLs state it (RFC 5280, 5.3.1)")
        .choices(REVOCATION_REASONS)
        .default("unspecified"),
    )
    .option(
      "--intermediate [key-id|serial]",
      "an intermediate whose key may be lost (default: the one that signs now): another signs first, then this one is revoked",
    )
    .option("--block", "of an identity: nothing is issued for it any more, until `bulwark ca unblock`")
    .addOption(stateOption())
    .addOption(formatOption())
    .addHelpText(
      "after",
      examples(
        "bulwark ca revoke --workload team-a/app-a --reason keyCompromise",
        "bulwark ca revoke spiffe://cluster.local/ns/team-a/sa/app-a",
        "bulwark ca revoke 5b20c1…   # this certificate, and all of its key: its proxy gets another",
        "bulwark ca revoke --intermediate --reason cACompromise   # its key is lost: all that it signed is refused",
        "bulwark ca restore --workload team-a/app-a   # once the workload is clean",
        "bulwark ca revoke spiffe://cluster.local/ns/old/sa/app --block   # locked out for good, whoever runs as it",
      ),
    )
    .addHelpText(
      "after",
      "\nExit code: 0 it is revoked (perhaps it was before), 3 there is no such certificate, workload or identity, or it is another\ntrust domain's: nothing was revoked; 1 failed.\n",
    )
    .action(async (argument: string | undefined, options: RevokeOptions) => {
      if (options.intermediate !== undefined) return await revokeIntermediate(argument, options);
      const target = revocationTarget(argument, options.workload);
      const params = { ...target, reason: options.reason, block: options.block === true };
      const report = (await askControl(stateOf(options), "ca.revoke", params)) as RevokeReport;
      process.stdout.write(
        options.format === "json" ? `${JSON.stringify(report, undefined, 2)}\n` : renderRevocation(report),
      );
    });
}

/** It waits for workloads to renew. @throws {BulwarkError} BW_CLI_INPUT and those of `ca.revoke-intermediate`. */
async function revokeIntermediate(argument: string | undefined, options: RevokeOptions): Promise<void> {
  if (argument !== undefined || options.workload !== undefined || options.block === true)
    throw new BulwarkError("BW_CLI_INPUT", "--intermediate goes with --reason alone");
  const params = { intermediate: options.intermediate, reason: options.reason };
  const answer = await askControl(stateOf(options), "ca.revoke-intermediate", params);
  const report = answer as IntermediateReport;
  process.stdout.write(
    options.format === "json" ? `${JSON.stringify(report, undefined, 2)}\n` : renderIntermediate(report),
  );
}
