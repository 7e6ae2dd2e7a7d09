/** What holds at a sidecar that is spoken to through HBONE. `can` and the data plane decide by this one. */
import type { InboundPolicy } from "./inbound.ts";

const STRICT = Object.freeze({ mode: "STRICT", policy: null } as const);

/**
 * The tunnel's client is known and its certificate was asked for, whatever PeerAuthentication says; the port's protocol alone decides how what is
 * inside is taken.
 */
export function throughHbone(policy: InboundPolicy): InboundPolicy {
  return { ...policy, transport: () => STRICT };
}

/** Whether it hangs on an external authorizer, which is not decided: Istio's do not see the tunnel's client there. */
export function isUndecidedThroughHbone({ http, tcp }: InboundPolicy, speaksHttp: boolean): boolean {
  const { custom, broken } = speaksHttp ? http : tcp;
  return custom !== null || broken !== null;
}
