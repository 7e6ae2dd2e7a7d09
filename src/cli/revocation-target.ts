import { BulwarkError } from "../resources/bulwark-error.ts";

/** What a revocation or its undoing names, as control takes it. */
export type TargetParams =
  | { readonly serial: string }
  | { readonly spiffeId: string }
  | { readonly workload: string };

const MAX_SERIAL_CHARACTERS = 64;

/** @throws {BulwarkError} BW_CLI_INPUT when not exactly one of both is given. */
export function revocationTarget(argument: string | undefined, workload: string | undefined): TargetParams {
  if ((argument === undefined) === (workload === undefined))
    throw new BulwarkError("BW_CLI_INPUT", "name one thing: a serial, a SPIFFE ID, or --workload ns/name");
  if (workload !== undefined) return { workload };
  const name = argument ?? "";
  if (name.startsWith("spiffe://")) return { spiffeId: name };
  // RFC 5280 §4.1.2.2: 20 octets at most; with colons between them, as OpenSSL prints them.
  if (name.length > MAX_SERIAL_CHARACTERS)
    throw new BulwarkError("BW_CLI_INPUT", `that is no serial number: it has ${name.length} characters`);
  return { serial: name };
}
