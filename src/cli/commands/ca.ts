import type { Command } from "commander";
import { examples } from "../options.ts";
import { configure as crl } from "./ca-crl.ts";
import { configure as enroll } from "./ca-enroll.ts";
import { configure as restore } from "./ca-restore.ts";
import { configure as revoke } from "./ca-revoke.ts";
import { configureRotateIntermediate, configureRotateRoot } from "./ca-rotate.ts";
import { configure as status } from "./ca-status.ts";
import { configure as unblock } from "./ca-unblock.ts";

/** Each adds one subcommand. */
const SUBCOMMANDS: readonly ((group: Command) => void)[] = [
  status,
  revoke,
  restore,
  unblock,
  crl,
  configureRotateRoot,
  configureRotateIntermediate,
  enroll,
];

export function configure(group: Command): void {
  for (const add of SUBCOMMANDS) add(group);
  group.addHelpText(
    "after",
    examples(
      "bulwark ca status",
      "bulwark ca revoke --workload finance/payroll --reason keyCompromise",
      "bulwark ca rotate-root",
      "bulwark ca revoke --help",
    ),
  );
}
