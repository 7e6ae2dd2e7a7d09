import type { AuditContext } from "../audit-context.ts";
import { fieldsOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const keyInConfigMap: AuditRule = {
  id: "BW0866",
  title: "A private key in a ConfigMap",
  severity: "high",
  attacks: ["E4", "C1"],
  what: "Values of ConfigMaps (`data`, and `binaryData` once decoded) with a private key in PEM, or in a JSON Web Key (a member `d`, or `k` of a shared one).",
  why: "ConfigMaps are for everybody to read: the role `view` has them, etcd keeps them in clear, logs and dashboards print them. Whoever has the key is who it stands for.",
  fix: "Put it into a Secret, and make a new key: this one has been read.",
  claims: ["credentials-kept"],
  check: keys,
};

const PEM = /-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----/;
const JWK = /"kty"\s*:\s*"(RSA|EC|OKP|oct)"/;
const PRIVATE_MEMBER = /"(d|k)"\s*:\s*"[\w-]+={0,2}"/;

function* keys(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.of("", "ConfigMap"))
    for (const field of ["data", "binaryData"] as const)
      for (const [name, written] of Object.entries(fieldsOf(resource.body[field]))) {
        const text =
          field === "data" ? textOf(written) : Buffer.from(textOf(written), "base64").toString("latin1");
        if (!PEM.test(text) && !(JWK.test(text) && PRIVATE_MEMBER.test(text))) continue;
        yield { resource, path: [field, name], title: `\`${name}\` holds a private key` };
      }
}
