import type { AuditContext } from "../audit-context.ts";
import { servedCredentials, writtenCertificates } from "../facts/certificates.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const certificateEnding: AuditRule = {
  id: "BW0865",
  title: "A certificate that has ended, or soon will",
  severity: "low",
  attacks: ["M2"],
  what: "Certificates in Secrets (`tls.crt`, `cert`, and of the mesh's CA `ca-cert.pem`, `root-cert.pem`) that end within 30 days, or have ended (`medium`; of a Secret that a gateway serves with, BW0161 says so); the mesh's CA (`cacerts`, `istio-ca-secret` in the root namespace) is `high` either way. By the day that `--as-of` names.",
  why: "What ends is not trusted any more, and people learn to pass warnings by. With the mesh's CA no workload gets a certificate, and in a day no two speak to each other.",
  fix: "Have it issued again; a new CA is rolled out beside the old one first (Bulwark: `bulwark ca rotate-root`).",
  claims: ["gateway-certificates"],
  check: ending,
};

const SOON_MS = 30 * 86_400_000;

function* ending(audit: AuditContext): Iterable<Hit> {
  const { now } = audit.settings;
  const served = new Set(audit.fact(servedCredentials).map(({ secret }) => secret));
  for (const { secret, key, facts, isMeshCa } of audit.fact(writtenCertificates)) {
    const hasEnded = facts.notAfter < now;
    if (facts.notAfter > now + SOON_MS) continue;
    if (hasEnded && served.has(`${secret.namespace}/${secret.name}`)) continue;
    yield {
      resource: secret,
      path: ["data", key],
      severity: isMeshCa ? "high" : hasEnded ? "medium" : "low",
      title: `\`${key}\`${isMeshCa ? ", of the mesh's CA," : ""} ${hasEnded ? "ended" : "ends"} on ${new Date(facts.notAfter).toISOString().slice(0, 10)}`,
    };
  }
}
