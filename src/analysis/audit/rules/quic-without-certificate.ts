import { type GatewayShape, shapeOf } from "../../../policy/outbound/resource-shapes.ts";
import type { AuditContext } from "../audit-context.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const quicWithoutCertificate: AuditRule = {
  id: "BW0958",
  title: "A server that asks for clients' certificates over TCP, but not over QUIC",
  severity: "high",
  attacks: ["E4"],
  what: "Servers of a Gateway with protocol HTTPS and TLS mode MUTUAL, ISTIO_MUTUAL or OPTIONAL_MUTUAL, in a mesh one of whose istiod Deployments sets `PILOT_ENABLE_QUIC_LISTENERS`: istiod opens a QUIC listener on the same port, which does not ask for a certificate.",
  why: "The client speaks HTTP/3 instead, and is served without the certificate that the server is to demand.",
  fix: "Switch the QUIC listeners off, or keep UDP from that port (the gateway's Service without a UDP port, a NetworkPolicy); demand tokens as well.",
  claims: ["gateway-tls"],
  check: quic,
};

const DEMANDING: ReadonlySet<string> = new Set(["MUTUAL", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"]);

function* quic(audit: AuditContext): Iterable<Hit> {
  if (!audit.fact(opensQuic)) return;
  for (const resource of audit.mesh.gateways)
    for (const [at, { port, tls }] of (shapeOf<GatewayShape>(resource).servers ?? []).entries())
      if (port?.protocol?.toUpperCase() === "HTTPS" && DEMANDING.has(tls?.mode ?? ""))
        yield {
          resource,
          path: ["spec", "servers", at, "tls", "mode"],
          title: `over QUIC port ${port.number} asks for no certificate, though it is ${tls?.mode}`,
        };
}

interface DeploymentSpec {
  readonly template?: {
    readonly spec?: {
      readonly containers?: readonly {
        readonly env?: readonly { readonly name?: string; readonly value?: string }[];
      }[];
    };
  };
}

function opensQuic(audit: AuditContext): boolean {
  return audit
    .of<DeploymentSpec | undefined>("apps", "Deployment")
    .some(({ spec }) =>
      (spec?.template?.spec?.containers ?? []).some(({ env = [] }) =>
        env.some(({ name, value }) => name === "PILOT_ENABLE_QUIC_LISTENERS" && value === "true"),
      ),
    );
}
