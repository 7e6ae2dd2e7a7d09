import type { AuditContext } from "../audit-context.ts";
import { isNamed, servedCredentials, writtenCertificates } from "../facts/certificates.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const certificateOtherHost: AuditRule = {
  id: "BW0863",
  title: "A certificate that is for other hosts than those it is served for",
  severity: "medium",
  attacks: ["M2"],
  what: "Servers of Gateways (Istio's and the Gateway API's) with a host that the certificate of their Secret does not name, itself or by a wildcard for one label. Hosts that are `*`, Secrets that the files do not have or that cannot be read, and listeners with several certificates are not looked at.",
  why: "Clients refuse it, or are told not to look: whoever stands between them and the gateway then serves what he likes, and nobody notices.",
  fix: "Have a certificate issued for the hosts, or serve them with one of their own.",
  claims: ["gateway-certificates"],
  check: misnamed,
};

function* misnamed(audit: AuditContext): Iterable<Hit> {
  const certificates = Map.groupBy(
    audit.fact(writtenCertificates),
    ({ secret }) => `${secret.namespace}/${secret.name}`,
  );
  for (const { gateway, path, secret, hosts } of audit.fact(servedCredentials)) {
    const own = certificates.get(secret)?.find(({ key }) => !key.endsWith(".pem"));
    const wrong = own === undefined ? [] : hosts.filter((host) => host !== "*" && !isNamed(own.facts, host));
    if (own === undefined || wrong.length === 0) continue;
    const names =
      own.facts.names.length === 0 ? "no host" : own.facts.names.map((name) => `\`${name}\``).join(", ");
    yield {
      resource: gateway,
      path,
      title: `the certificate in \`${secret}\` is for ${names}, not for ${wrong.map((host) => `\`${host}\``).join(", ")}`,
    };
  }
}
