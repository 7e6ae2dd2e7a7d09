import { matchesLabels } from "../../../model/selector.ts";
import { resourceName } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { gatewaysWithPods } from "../facts/gateway-pods.ts";
import { type Fields, fieldsOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const certificateShared: AuditRule = {
  id: "BW0138",
  title: "Gateways of the same pods that share a certificate",
  severity: "low",
  same: { istio: "IST0138" },
  attacks: ["E6"],
  what: "Two Gateways, the selector of one a part of the other's, with servers of the same `credentialName`, or the same files of certificate and key.",
  why: "Browsers use one HTTP/2 connection for all hosts of a certificate: requests for one gateway's host come in by the connection to the other, and are answered by its routes, or with 404.",
  fix: "Serve the hosts from one Gateway, or with certificates of their own.",
  claims: ["gateway-tls"],
  check: shared,
};

function* shared(audit: AuditContext): Iterable<Hit> {
  const gateways = audit.fact(gatewaysWithPods);
  const byCertificate = new Map<string, Set<(typeof gateways)[number]>>();
  for (const gateway of gateways)
    for (const { tls } of gateway.servers) {
      const key = certificateOf(fieldsOf(tls));
      if (key === undefined) continue;
      byCertificate.set(key, (byCertificate.get(key) ?? new Set()).add(gateway));
    }
  const told = new Set<string>();
  for (const [certificate, sharing] of byCertificate)
    for (const one of sharing)
      for (const other of sharing) {
        if (one === other || !matchesLabels(one.selector, other.selector)) continue;
        const title = `it shares ${certificate} with ${resourceName(other.resource)}`;
        const key = `${resourceName(one.resource)} ${title}`;
        if (told.has(key)) continue;
        told.add(key);
        yield { resource: one.resource, path: ["spec", "servers"], title };
      }
}

function certificateOf({ credentialName, serverCertificate, privateKey }: Fields): string | undefined {
  const name = textOf(credentialName);
  if (name !== "") return `\`${name}\``;
  const [file, key] = [textOf(serverCertificate), textOf(privateKey)];
  return file === "" || key === "" ? undefined : `\`${file}\` with \`${key}\``;
}
