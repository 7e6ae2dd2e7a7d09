import type { BulwarkErrorCode } from "../resources/bulwark-error.ts";

/** What every command ends with (docs/running.md). Stable: scripts branch on it. */
export const EXIT = {
  ok: 0,
  /** Bulwark, or the machine, failed. */
  failed: 1,
  /** It worked, and the answer is no: a call was refused, an attack succeeded. */
  denied: 2,
  /** The mesh's files, the arguments or another input are not valid. */
  invalid: 3,
  /** Ctrl-C, or another signal, before it was done (128 + SIGINT, as shells have it). */
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Codes of failures that whoever calls can mend by calling otherwise: what was named is not there, or not what it should be. */
const INVALID_INPUT: ReadonlySet<BulwarkErrorCode> = new Set<BulwarkErrorCode>([
  "BW_CLI_INPUT",
  "BW_AUTHORIZER_RULES",
  "BW_CA_ACCESS_CONFIG",
  "BW_CA_ACCESS_FILE",
  "BW_CA_SECRET",
  "BW_CA_STORE_ADDRESS",
  "BW_CA_STORE_UNKNOWN_SERIAL",
  "BW_COMPLIANCE_POLICY",
  "BW_EST_URL",
  "BW_FLOWS_BAD_FILTER",
  "BW_MESH_INVALID",
  "BW_PKCS11_URI",
  "BW_REQUEST_INVALID",
  "BW_SECRET_SOURCE",
]);

/** What a command ends with that failed with this code. */
export function exitCodeOfFailure(code: BulwarkErrorCode): ExitCode {
  return INVALID_INPUT.has(code) ? EXIT.invalid : EXIT.failed;
}
