import type { AuditContext } from "../audit-context.ts";
import { secretData } from "../facts/credentials.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const keyOfAnother: AuditRule = {
  id: "BW0871",
  title: "A private key that is not the certificate's beside it",
  severity: "high",
  attacks: ["M2"],
  what: "Secrets whose `tls.key`, or `key`, is the private key of another certificate than the one in `tls.crt`, or `cert`. Keys that are encrypted or cannot be read are left out.",
  why: "The API server takes such a Secret, and a gateway takes no connection with it: the server does not answer, or goes on with a certificate that was to be replaced.",
  fix: "Put the key into the Secret that the certificate was issued for.",
  claims: ["gateway-certificates"],
  check: foreign,
};

const PAIRS = [
  ["tls.crt", "tls.key"],
  ["cert", "key"],
] as const;

function* foreign(audit: AuditContext): Iterable<Hit> {
  for (const secret of audit.every("", "Secret")) {
    const data = secretData(secret);
    for (const [certificate, key] of PAIRS)
      if (audit.settings.readCertificate?.(data.get(certificate) ?? "", data.get(key))?.hasItsKey === false)
        yield {
          resource: secret,
          path: ["stringData", key],
          title: `\`${key}\` is not the key of the certificate in \`${certificate}\``,
        };
  }
}
