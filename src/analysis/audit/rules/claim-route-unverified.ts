import { matchesLabels } from "../../../model/selector.ts";
import type { FieldPath, Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { gatewayNamed } from "../facts/gateway-pods.ts";
import { fieldsOf, itemsOf, labelsOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const claimRouteUnverified: AuditRule = {
  id: "BW0149",
  title: "A route by a token's claim where no token is verified",
  severity: "high",
  same: { istio: "IST0149" },
  attacks: ["M5"],
  what: "A VirtualService at a gateway that matches `@request.auth.claims`, where no RequestAuthentication of the root namespace or of the gateway's pods, by its selector or `targetRefs`, is for them.",
  why: "Without a verified token there are no claims: the route is never taken, or, with `withoutHeaders`, always.",
  fix: "Add a RequestAuthentication for the gateway.",
  claims: ["users-authenticated"],
  check: unverified,
};

const CLAIM = /^@request\.auth\.claims[.[]/;

function* unverified(audit: AuditContext): Iterable<Hit> {
  const verifying = audit.fact(verifyingByNamespace);
  for (const resource of audit.every("networking.istio.io", "VirtualService")) {
    const claim = claimOf(resource);
    if (claim === undefined) continue;
    for (const name of textsOf(fieldsOf(resource.spec).gateways)) {
      const gateway = name === "mesh" ? undefined : gatewayNamed(audit, name, resource.namespace);
      for (const pod of gateway?.pods ?? []) {
        const own = [
          ...(verifying.get(audit.mesh.config.rootNamespace) ?? []),
          ...(verifying.get(pod.namespace) ?? []),
        ];
        if (
          own.some(({ spec }) =>
            matchesLabels(labelsOf(fieldsOf(fieldsOf(spec).selector).matchLabels), pod.labels),
          )
        )
          continue;
        yield {
          resource,
          path: claim.path,
          title: `\`${claim.name}\` is matched at \`${name}\`, whose pod \`${pod.resource.name}\` verifies no token`,
        };
      }
    }
  }
}

function verifyingByNamespace(audit: AuditContext): ReadonlyMap<string, readonly Resource[]> {
  return Map.groupBy(audit.every("security.istio.io", "RequestAuthentication"), ({ namespace }) => namespace);
}

function claimOf({ spec }: Resource): { readonly name: string; readonly path: FieldPath } | undefined {
  for (const [route, { match }] of itemsOf(fieldsOf(spec).http))
    for (const [index, written] of itemsOf(match))
      for (const field of ["headers", "withoutHeaders"]) {
        const name = Object.keys(fieldsOf(written[field])).find((key) => CLAIM.test(key));
        if (name !== undefined) return { name, path: ["spec", "http", route, "match", index, field, name] };
      }
  return undefined;
}
