import type { AuditContext } from "../audit-context.ts";
import { tlsExceptions } from "../facts/tls-exceptions.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const mtlsException: AuditRule = {
  id: "BW0630",
  title: "A hole in STRICT through which plaintext gets in",
  severity: "high",
  attacks: ["M1"],
  what:
    "PeerAuthentications that take back, for a namespace, a workload or a port, the STRICT of the level above, where a request in clear is then really let in: AuthorizationPolicies do not refuse it. Shown by that request. " +
    "Exceptions behind which policies ask for an identity are not told.",
  why: "The mesh reads as STRICT. At these ports anybody who has the pod's address, with or without a sidecar, gets in without a certificate, and nobody knows who it was.",
  fix: "Take the exception away; where a client without a proxy needs it, for that port alone, and with an AuthorizationPolicy that lets in nothing else there.",
  claims: ["mutual-tls"],
  check: exceptions,
};

function* exceptions(audit: AuditContext): Iterable<Hit> {
  for (const { policy, path, text, isWide, workload, port, witness } of audit.fact(tlsExceptions))
    yield {
      resource: policy,
      path,
      title: `${text}: \`${workload}\` takes plaintext at port ${port}`,
      witness,
      ...(isWide ? { snowcat: "Permissive Mutual TLS" } : {}),
    };
}
