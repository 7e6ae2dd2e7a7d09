import type { FlowUpstream } from "../../model/flow-record.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { parseHboneAuthority } from "./hbone-authority.ts";

/** Where a tunnel was asked for, by which connection: the other end's record of its refusal has the same. */
export interface AskedTunnel {
  readonly authority: string;
  readonly localIp: string | undefined;
  readonly localPort: number | undefined;
}

export function tunnelRefused(status: number, { authority, localIp, localPort }: AskedTunnel): BulwarkError {
  const where = parseHboneAuthority(authority);
  const upstream: FlowUpstream = { ip: where?.ip, port: where?.port, localIp, localPort };
  const what = `the other end of the tunnel refused it with ${status}`;
  return new BulwarkError("BW_TUNNEL_REFUSED", what, { detail: { status, upstream } });
}

/** For the record of a failure: undefined where it was not the other end of a tunnel that refused. */
export function refusedAt(error: Error): FlowUpstream | undefined {
  if (!(error instanceof BulwarkError) || error.code !== "BW_TUNNEL_REFUSED") return undefined;
  return error.detail.upstream as FlowUpstream | undefined;
}
