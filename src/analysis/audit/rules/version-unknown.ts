import { advisoriesFor } from "../../trust/advisories/advisories-for.ts";
import type { AdvisoryData } from "../../trust/advisories/advisory.ts";
import type { AuditContext } from "../audit-context.ts";
import { type AuditedVersion, advisoriesOf, auditedVersions, placeInEach } from "../facts/advisories.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const versionUnknown: AuditRule = {
  id: "BW0711",
  title: "A version that cannot be told",
  severity: "low",
  attacks: [],
  what: "Images of Istio, Envoy and Kubernetes by a digest alone, by a tag that is no version (`latest`, a branch), or by one that floats (`1.27`), unless every patch of that line is known to be vulnerable (BW0710).",
  why: "No advisory can be held against it: whether it is vulnerable is not known, which is not the same as no.",
  fix: "Name the exact version beside the digest: `docker.io/istio/proxyv2:1.27.3@sha256:…`.",
  claims: ["versions-current"],
  check: unknown,
};

function* unknown(audit: AuditContext): Iterable<Hit> {
  const data = audit.fact(advisoriesOf);
  for (const found of audit.fact(auditedVersions)) {
    const reason = reasonOf(data, found);
    if (reason === undefined) continue;
    const title = `${found.component}: ${reason}`;
    for (const { resource, path } of placeInEach(found)) yield { resource, path, title };
  }
}

function reasonOf(data: AdvisoryData, { component, version, places }: AuditedVersion): string | undefined {
  if (version === undefined) return `\`${places[0].image}\` is named by its digest alone`;
  const affected = advisoriesFor(data, component, version);
  return affected.known ? undefined : affected.reason;
}
