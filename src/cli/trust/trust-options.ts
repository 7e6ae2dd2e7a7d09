/** What `audit` is told of whom to trust, read and verified into what the rules go by. */
import type { Command } from "commander";
import type { AuditContext } from "../../analysis/audit/audit-context.ts";
import { auditedVersions } from "../../analysis/audit/facts/advisories.ts";
import { imagesOf } from "../../analysis/audit/facts/images.ts";
import { ADVISORIES_STALE_DAYS, advisoryAgeDays } from "../../analysis/trust/advisories/advisories-for.ts";
import { parseTrustedRegistry } from "../../analysis/trust/images/trusted-registries.ts";
import type { SignatureVerdict } from "../../analysis/trust/signatures/signature-verdict.ts";
import type { TrustSettings } from "../../analysis/trust/trust-settings.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { collect } from "../options.ts";
import { advisoryFolder, currentAdvisories, updateAdvisories } from "./advisory-store.ts";
import { checkImageSignatures } from "./check-image-signatures.ts";
import { readSignatures } from "./read-signatures.ts";
import { readSignaturePolicy } from "./signature-policy.ts";

export interface TrustOptions {
  readonly trustedRegistry?: readonly string[];
  readonly signatures?: string;
  readonly signatureKey?: readonly string[];
  readonly signatureIdentity?: readonly string[];
  readonly trustedRoot?: string;
}

/** By which advisories a report was made: said in each, since what was published after them is not in it. */
export interface AdvisoriesUsed {
  readonly date: string;
  readonly ageDays: number;
  readonly isStale: boolean;
  /** Where they are stale and versions were judged by them: their day and age, what that means, and how to get newer ones. */
  readonly warning?: string;
}

export interface Trust {
  readonly settings: TrustSettings;
  readonly advisories: AdvisoriesUsed;
  /** For standard error: what was given and not used, and that the advisories are stale. */
  readonly notes: readonly string[];
}

export function addTrustOptions(command: Command): Command {
  return command
    .option(
      "--trusted-registry <registry>",
      "images come from here alone (gcr.io/team); may be given again",
      collect,
    )
    .option("--signatures <path>", "file or folder of images' signatures (cosign, Sigstore bundles)")
    .option("--signature-key <file>", "a public key whose signatures count; may be given again", collect)
    .option(
      "--signature-identity <issuer and subject>",
      'an identity whose signatures count ("https://accounts.google.com release@istio.io"); may be given again',
      collect,
    )
    .option("--trusted-root <file>", "authorities and logs of Sigstore (trusted_root.json)");
}

/**
 * @param audit the mesh whose images are asked about
 * @param now milliseconds since the epoch
 * @throws {BulwarkError} BW_CLI_INPUT
 */
export async function readTrust(audit: AuditContext, options: TrustOptions, now: number): Promise<Trust> {
  const notes: string[] = [];
  const { data, refused } = currentAdvisories();
  if (refused !== undefined) notes.push(`stored advisories are not used: ${refused}`);
  const registries = options.trustedRegistry?.map(registryOf);
  const signatures = await verdicts(audit, options, notes);
  const ageDays = advisoryAgeDays(data, now);
  const isStale = ageDays > ADVISORIES_STALE_DAYS;
  const isWarned = isStale && audit.fact(auditedVersions).length > 0;
  const warning = isWarned ? staleWarning(data.date, ageDays) : undefined;
  if (warning !== undefined) notes.push(`warning: ${warning}`);
  return {
    settings: {
      advisories: data,
      ...(registries === undefined ? {} : { registries }),
      ...(signatures === undefined ? {} : { signatures }),
    },
    advisories: { date: data.date, ageDays, isStale, ...(warning === undefined ? {} : { warning }) },
    notes,
  };
}

function staleWarning(date: string, days: number): string {
  return `versions are judged by advisories of ${date}, ${days} days old: what was published since is not known (bulwark audit --update FILE stores newer ones)`;
}

/** @returns one line that says what is stored, and by what it can be compared. @throws {BulwarkError} BW_CLI_INPUT */
export function updateStoredAdvisories(file: string, force: boolean, now: number): string {
  const update = updateAdvisories(file, { folder: advisoryFolder(), force, now });
  return `${update.advisories} advisories of ${update.date} stored in ${update.file}, in the place of ${update.replaced}; SHA-256 ${update.sha256}. Nothing signs them: compare that with what their publisher says.\n`;
}

function registryOf(text: string): string {
  const registry = parseTrustedRegistry(text);
  if (registry === undefined)
    throw new BulwarkError("BW_CLI_INPUT", `\`${text}\` is no registry: write it as gcr.io/team`);
  return registry;
}

async function verdicts(
  audit: AuditContext,
  { signatures: path, signatureKey = [], signatureIdentity = [], trustedRoot }: TrustOptions,
  notes: string[],
): Promise<ReadonlyMap<string, SignatureVerdict> | undefined> {
  if (path === undefined) {
    if (signatureKey.length + signatureIdentity.length > 0 || trustedRoot !== undefined)
      throw new BulwarkError("BW_CLI_INPUT", "say where the signatures are: --signatures PATH");
    return undefined;
  }
  const policy = await readSignaturePolicy({
    keys: signatureKey,
    identities: signatureIdentity,
    ...(trustedRoot === undefined ? {} : { trustedRoot }),
  });
  const { signatures, unreadable } = readSignatures(path);
  for (const { file, reason } of unreadable) notes.push(`${file} holds no signature: ${reason}`);
  const images = audit.fact(imagesOf).map(({ image }) => image);
  return checkImageSignatures(images, signatures, policy);
}
