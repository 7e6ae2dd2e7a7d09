import type { AuditContext } from "../audit-context.ts";
import { credentialProblem } from "../facts/credentials.ts";
import { gatewaysWithPods } from "../facts/gateway-pods.ts";
import { fieldsOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const credentialInvalid: AuditRule = {
  id: "BW0161",
  title: "A gateway's Secret that holds no certificate to be used",
  severity: "high",
  same: { istio: "IST0161" },
  attacks: ["M2"],
  what: "A Secret that a server's `credentialName` leads to, in the namespace of the gateway's pods, without a certificate and a key (`tls.crt` and `tls.key`, or `cert` and `key`), whose certificate cannot be read, or which is not valid today.",
  why: "The server does not answer, or people learn to click its warning away; whoever stands between is not noticed any more.",
  fix: "Put a certificate that is valid, and its key, into the Secret.",
  claims: ["gateway-certificates"],
  check: unusable,
};

function* unusable(audit: AuditContext): Iterable<Hit> {
  const secrets = new Map(
    audit.every("", "Secret").map((secret) => [`${secret.namespace}/${secret.name}`, secret]),
  );
  for (const { resource, pods, servers } of audit.fact(gatewaysWithPods))
    for (const [index, { tls }] of servers.entries()) {
      const name = textOf(fieldsOf(tls).credentialName);
      const secret = secrets.get(name.includes("/") ? name : `${pods[0]?.namespace ?? ""}/${name}`);
      const problem = secret === undefined ? undefined : credentialProblem(secret, audit.settings);
      if (problem === undefined) continue;
      const path = ["spec", "servers", index, "tls", "credentialName"];
      yield { resource, path, title: `Secret \`${name}\` ${problem}` };
    }
}
