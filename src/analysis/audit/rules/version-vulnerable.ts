import { advisoriesFor, leastSoundVersion } from "../../trust/advisories/advisories-for.ts";
import type { Advisory } from "../../trust/advisories/advisory.ts";
import type { AuditContext } from "../audit-context.ts";
import { advisoriesOf, auditedVersions, placeInEach } from "../facts/advisories.ts";
import type { FindingSeverity, Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const versionVulnerable: AuditRule = {
  id: "BW0710",
  title: "A version with known vulnerabilities",
  severity: "high",
  same: { snowcat: "Known Vulnerable Version" },
  attacks: ["C3", "C6", "C7"],
  what: "Versions of Istio, Envoy and Kubernetes (images' tags, `sidecar.istio.io/proxyImage`, nodes' kubelets, the Sail operator's resources) that advisories speak of and a later version is free of. A finding is as grave as the gravest advisory; one without a score counts as high. An advisory's conditions are named, not checked. The data are those that Bulwark ships, or newer ones of `audit --update` (docs/trust.md).",
  why: "The faults are public, and so are ways to use many of them.",
  fix: "Update to a version that no advisory speaks of.",
  claims: ["versions-current"],
  check: vulnerable,
};

/** How many advisories are told in full; the rest are counted. */
const TOLD_MAX = 5;

function* vulnerable(audit: AuditContext): Iterable<Hit> {
  const data = audit.fact(advisoriesOf);
  for (const found of audit.fact(auditedVersions)) {
    const { component, version } = found;
    if (version === undefined) continue;
    const affected = advisoriesFor(data, component, version);
    if (!affected.known || affected.curable.length === 0) continue;
    const { curable } = affected;
    const sound = leastSoundVersion(data, component, version);
    const said = {
      severity: gravest(curable),
      title: `${component} \`${version}\` has ${curable.length} known ${curable.length === 1 ? "vulnerability" : "vulnerabilities"} (${idsOf(curable)})`,
      why: whyOf(curable),
      fix:
        sound === undefined
          ? versionVulnerable.fix
          : `Update to ${sound} or later: no advisory of ${data.date} speaks of it.`,
    };
    for (const { resource, path } of placeInEach(found)) yield { resource, path, ...said };
  }
}

function idsOf(advisories: readonly Advisory[]): string {
  const ids = advisories.slice(0, TOLD_MAX).map(({ id }) => id);
  return `${ids.join(", ")}${advisories.length > TOLD_MAX ? ", …" : ""}`;
}

function whyOf(advisories: readonly Advisory[]): string {
  const told = advisories.slice(0, TOLD_MAX).map(({ id, title, cvss, conditions, source }) => {
    const score = cvss === undefined ? "" : ` (CVSS ${cvss})`;
    return `${id}${score}: ${title}${conditions === undefined ? "" : `, if ${conditions}`} [${source}]`;
  });
  const left = advisories.length - told.length;
  return `${told.join("; ")}${left > 0 ? `; and ${left} more` : ""}.`;
}

function gravest(advisories: readonly Advisory[]): FindingSeverity {
  const scores = advisories.map(({ cvss }) => cvss ?? 7);
  const score = Math.max(...scores);
  return score >= 9 ? "critical" : score >= 7 ? "high" : score >= 4 ? "medium" : "low";
}
