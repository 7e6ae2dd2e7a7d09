/** Where our own proxies answer otherwise than Istio's on purpose, or do not serve yet: every case of it must differ. */
import type { Workload } from "../../src/model/mesh.ts";
import { parseSpiffeId } from "../../src/model/spiffe-id.ts";
import type { RecordedDecision, RecordedRequest } from "./inbound.ts";

export interface LiveDifference {
  readonly name: string;
  readonly reason: string;
  applies(request: RecordedRequest, recorded: RecordedDecision, target: Workload): boolean;
}

export const LIVE_DIFFERENCES: readonly LiveDifference[] = [
  {
    name: "host-mismatch",
    reason:
      "An absolute request target whose authority is not the Host's is refused with 400. Envoy lets the target win (RFC 9112 " +
      "§3.2.2); two readers of one request could still route it apart, which no honest client needs.",
    applies: ({ path = "/", host = "app" }, { reason }) => {
      const authority = /^https?:\/\/([^/?#]*)/i.exec(path)?.[1];
      return (
        reason !== "bad-request" && authority !== undefined && authority.toLowerCase() !== host.toLowerCase()
      );
    },
  },
  {
    name: "no-spiffe-id",
    reason:
      "A certificate whose URI is no SPIFFE ID (an empty path segment) is nobody's: the handshake is refused. Envoy compares the " +
      "URI's prefix with the trust domain and reads no further.",
    applies: ({ from: { principal } }, { reason }) =>
      reason !== "tls" &&
      principal !== null &&
      !principal.startsWith("dns:") &&
      parseSpiffeId(`spiffe://${principal}`) === undefined,
  },
];

/** The name of the difference that a recorded request falls under. */
export function differenceOf(
  request: RecordedRequest,
  recorded: RecordedDecision,
  target: Workload,
): string | undefined {
  return LIVE_DIFFERENCES.find((difference) => difference.applies(request, recorded, target))?.name;
}
