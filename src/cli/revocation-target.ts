import { BulwarkError } from "../resources/bulwark-error.ts";

/** What a revocation or its undoing names, as control takes it. */
export type TargetParams =
  | { readonly serial: string }
  | { readonly spiffeId: string }
  | { readonly workload: string };

/** @throws {BulwarkError} BW_CLI_INPUT when not exactly one of both is given. */
export function revocationTarget(argument: string | undefined, workload: string | undefined): TargetParams {
  if ((argument === undefined) === (workload === undefined))
    throw new BulwarkError("BW_CLI_INPUT", "name one thing: a serial, a SPIFFE ID, or --workload ns/name");
  if (workload !== undefined) return { workload };
  const name = argument ?? "";
  return name.startsWith("spiffe://") ? { spiffeId: name } : { serial: name };
}
