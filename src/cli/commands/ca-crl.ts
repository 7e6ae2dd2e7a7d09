import { writeFileSync } from "node:fs";
import type { Command } from "commander";
import type { CrlReport } from "../../control/revocation/messages.ts";
import { encodePem } from "../../identity/pem.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { askControl } from "../ask-control.ts";
import { examples, formatOption, type StateOptions, stateOf, stateOption } from "../options.ts";

interface CrlOptions extends StateOptions {
  readonly format: string;
  readonly issuer?: string;
  readonly root?: boolean;
  readonly delta?: boolean;
  readonly out?: string;
  readonly der?: boolean;
}

export function configure(group: Command): void {
  group
    .command("crl")
    .description("the newest certificate revocation list, as PEM")
    .option("--issuer <key-id>", "of this intermediate or root (default: the intermediate that signs now)")
    .option("--root", "of the root that signs intermediates")
    .option("--delta", "only what was revoked since the delta's base")
    .option("--der", "as DER; needs --out")
    .option("--out <file>", "into this file")
    .addOption(stateOption())
    .addOption(formatOption())
    .addHelpText(
      "after",
      examples("bulwark ca crl | openssl crl -noout -text", "bulwark ca crl --delta --der --out delta.crl"),
    )
    .action(async (options: CrlOptions) => {
      if (options.der === true && options.out === undefined)
        throw new BulwarkError("BW_CLI_INPUT", "--der needs --out: a terminal is no place for it");
      const params = {
        issuer: options.issuer,
        root: options.root === true,
        delta: options.delta === true,
      };
      const report = (await askControl(stateOf(options), "ca.crl", params)) as CrlReport;
      const bytes = Buffer.from(report.crl, "base64");
      const list = options.der === true ? bytes : encodePem("X509 CRL", bytes);
      if (options.out !== undefined) writeOut(options.out, list);
      if (options.format === "json") process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
      else if (options.out === undefined) process.stdout.write(list);
    });
}

/** What is wrong with the name that was given, rather than with the disk. */
const BAD_PLACE: ReadonlySet<unknown> = new Set([
  "ENOENT",
  "ENOTDIR",
  "EISDIR",
  "EACCES",
  "EPERM",
  "ENAMETOOLONG",
]);

/** @throws {BulwarkError} BW_CLI_INPUT, BW_CLI_OUTPUT */
function writeOut(file: string, content: string | Buffer): void {
  try {
    writeFileSync(file, content);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    throw new BulwarkError(
      BAD_PLACE.has(code) ? "BW_CLI_INPUT" : "BW_CLI_OUTPUT",
      `the list cannot be written: ${why}`,
      { cause },
    );
  }
}
