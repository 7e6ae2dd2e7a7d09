import type { AuditContext } from "../audit-context.ts";
import { isUnverified, skipsVerification, unverifiedText } from "../facts/client-tls.ts";
import { fieldsOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const hostUnverified: AuditRule = {
  id: "BW0128",
  title: "A DestinationRule that leaves to every public CA who the server is",
  severity: "low",
  same: { istio: "IST0128", snowcat: "TLS Validation in Destination Rule" },
  attacks: ["M3"],
  what: "`trafficPolicy.tls` of mode SIMPLE or MUTUAL without `caCertificates`, and without `credentialName`, which brings a CA of its own and counts where the rule has a `workloadSelector`; and (`high`) with `insecureSkipVerify`. Proxies of Istio 1.21 and later verify by the system's CAs then; earlier ones accept any certificate unless VERIFY_CERTIFICATE_AT_CLIENT is set.",
  why: "A certificate of any public CA is enough to stand in for the server; before Istio 1.21 any certificate is: somebody on the way reads and changes everything, and both ends look secure.",
  fix: "Name the CA that signs the server's certificate in `caCertificates` (`system`, if the public ones are meant), and the server's names in `subjectAltNames`.",
  claims: ["servers-verified"],
  check: unverifiedHosts,
};

function* unverifiedHosts(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.every("networking.istio.io", "DestinationRule")) {
    const { host, trafficPolicy } = fieldsOf(resource.spec);
    const tls = fieldsOf(fieldsOf(trafficPolicy).tls);
    if (!isUnverified(tls, resource)) continue;
    yield {
      resource,
      path: ["spec", "trafficPolicy", "tls", skipsVerification(tls) ? "insecureSkipVerify" : "mode"],
      ...unverifiedText(tls, `\`${textOf(host)}\``),
    };
  }
}
