import type { AuditContext } from "../audit-context.ts";
import { gatewaysWithPods } from "../facts/gateway-pods.ts";
import { fieldsOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const clientCertificateOptional: AuditRule = {
  id: "BW0868",
  title: "A gateway that verifies clients' certificates, and lets in who has none",
  severity: "low",
  attacks: ["E4"],
  what: "Servers of Gateways with TLS mode OPTIONAL_MUTUAL. Whether what stands behind asks for the certificate that the gateway passes on is not in the files.",
  why: "A caller leaves the certificate out and comes in as one of a server with mode SIMPLE. Where the application judges by the header `x-forwarded-client-cert`, it has to refuse what lacks it.",
  fix: "Set the mode to MUTUAL; give who has no certificate a server, with hosts, of its own.",
  claims: [],
  check: optional,
};

function* optional(audit: AuditContext): Iterable<Hit> {
  for (const { resource, servers } of audit.fact(gatewaysWithPods))
    for (const [index, { tls }] of servers.entries())
      if (textOf(fieldsOf(tls).mode) === "OPTIONAL_MUTUAL")
        yield {
          resource,
          path: ["spec", "servers", index, "tls", "mode"],
          title: "clients without a certificate are let in beside those with one",
        };
}
