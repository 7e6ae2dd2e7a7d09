import { componentOf } from "../../trust/advisories/versions-in.ts";
import { DEFAULT_TRUSTED_REGISTRIES, isTrusted } from "../../trust/images/trusted-registries.ts";
import type { AuditContext } from "../audit-context.ts";
import { type AuditedImage, imagesOf } from "../facts/images.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const imageRegistry: AuditRule = {
  id: "BW0704",
  title: "An image from a registry that is not trusted",
  severity: "medium",
  attacks: ["C1", "C3"],
  what: `With \`--trusted-registry\`: every image from elsewhere. Without: Istio's own (proxies, ztunnel, istiod, the CNI plugin) from elsewhere than where Istio publishes them: ${DEFAULT_TRUSTED_REGISTRIES.filter((one) => one.includes("istio")).join(", ")}. A mirror of yours is trusted once it is named.`,
  why: "Whoever runs the registry chooses the program. Of a proxy that means: the keys of its pod's identity, and every request in clear.",
  fix: "Take the image from a registry that you trust, or name this one with `--trusted-registry`.",
  claims: ["images-pinned"],
  check: untrusted,
};

function* untrusted(audit: AuditContext): Iterable<Hit> {
  const given = audit.settings.trust?.registries;
  for (const audited of audit.fact(imagesOf)) {
    const { resource, container, image, reference, path } = audited;
    if (reference === undefined || (given === undefined && !isIstios(audited))) continue;
    if (!isTrusted(reference, given ?? DEFAULT_TRUSTED_REGISTRIES))
      yield {
        resource,
        path,
        title: `container \`${container.name}\` runs \`${image}\`, from ${reference.registry}`,
      };
  }
}

function isIstios({ reference, container }: AuditedImage): boolean {
  return reference !== undefined && componentOf(reference, container.name) === "istio";
}
