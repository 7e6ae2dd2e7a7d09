import type { Service } from "../../../model/mesh.ts";
import { resolveShortName } from "../../../policy/outbound/host-name.ts";
import {
  type Destination,
  shapeOf,
  type VirtualServiceShape,
} from "../../../policy/outbound/resource-shapes.ts";
import type { FieldPath } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const mirrorOutside: AuditRule = {
  id: "BW0642",
  title: "Requests are copied to a host outside of the mesh",
  severity: "high",
  attacks: ["E3", "M11"],
  what: "`mirror` and `mirrors` of VirtualServices whose host is one of a ServiceEntry with location MESH_EXTERNAL. Hosts that nobody declares are IST0101.",
  why: "A copy of every request, with its headers, tokens and body, leaves the mesh; the client sees nothing of it, and what comes back is thrown away.",
  fix: "Copy to a service of the mesh; what has to leave it, over an egress gateway with its own policy, and without credentials.",
  claims: ["egress-held"],
  check: outside,
};

function* outside({ mesh }: AuditContext): Iterable<Hit> {
  const external = new Map<string, Service>(
    mesh.services
      .filter((service) => service.external)
      .map((service) => [service.hostname.toLowerCase(), service]),
  );
  for (const resource of mesh.virtualServices)
    for (const [at, { mirror, mirrors = [] }] of (
      shapeOf<VirtualServiceShape>(resource).http ?? []
    ).entries()) {
      const copies: readonly (readonly [Destination | undefined, FieldPath])[] = [
        [mirror, ["mirror", "host"]],
        ...mirrors.map(
          ({ destination }, index) => [destination, ["mirrors", index, "destination", "host"]] as const,
        ),
      ];
      for (const [destination, path] of copies) {
        const host = resolveShortName(destination?.host ?? "", resource.namespace).toLowerCase();
        if (external.has(host))
          yield {
            resource,
            path: ["spec", "http", at, ...path],
            title: `a copy of each request goes to \`${host}\`, outside of the mesh`,
          };
      }
    }
}
