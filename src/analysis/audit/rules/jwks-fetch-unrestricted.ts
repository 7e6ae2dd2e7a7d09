import { resourceName } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { containersOf, podsOf } from "../facts/pods.ts";
import { itemsOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const jwksFetchUnrestricted: AuditRule = {
  id: "BW0175",
  title: "istiod fetches keys from wherever a RequestAuthentication says",
  severity: "medium",
  same: { istio: "IST0175" },
  attacks: ["M5"],
  what: "A Deployment labelled `app: istiod` without a value for BLOCKED_CIDRS_IN_JWKS_URIS in a mesh that has RequestAuthentications. A value taken from elsewhere (`valueFrom`) does not count: what it is cannot be seen.",
  why: "Who may write a RequestAuthentication in any namespace has the control plane call addresses that he cannot reach himself: the metadata address of the cloud, other services beside istiod.",
  fix: "Set BLOCKED_CIDRS_IN_JWKS_URIS on istiod to the ranges that no identity provider is in: 169.254.0.0/16, 127.0.0.0/8, the pods' and the nodes' ranges.",
  claims: ["control-plane-isolated"],
  check: unrestricted,
};

const VARIABLE = "BLOCKED_CIDRS_IN_JWKS_URIS";
const SHOWN = 5;

function* unrestricted(audit: AuditContext): Iterable<Hit> {
  const asking = audit.every("security.istio.io", "RequestAuthentication");
  if (asking.length === 0) return;
  const names = asking.slice(0, SHOWN).map(resourceName).join(", ");
  const more = asking.length > SHOWN ? ` and ${asking.length - SHOWN} more` : "";
  for (const pod of audit.fact(podsOf)) {
    const { resource } = pod;
    if (resource.kind !== "Deployment" || resource.labels.app !== "istiod") continue;
    const isSet = containersOf(pod).some(
      ({ container, role }) =>
        role === "containers" &&
        [...itemsOf(container.env)].some(([, { name, value }]) => name === VARIABLE && textOf(value) !== ""),
    );
    if (!isSet)
      yield { resource, title: `\`${VARIABLE}\` is not set, and keys are fetched for ${names}${more}` };
  }
}
