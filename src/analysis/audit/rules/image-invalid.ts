import type { AuditContext } from "../audit-context.ts";
import { imagesOf } from "../facts/images.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const imageInvalid: AuditRule = {
  id: "BW0701",
  title: "An image that no node can pull",
  severity: "low",
  attacks: [],
  what: "Images of containers, init and ephemeral ones among them, that are no reference by the grammar of registries. What the injector fills in (`auto`) is left out.",
  why: "The pod does not start; and what checks images by their registry, tag or digest cannot see what is meant.",
  fix: "Write it as `registry/path:tag@sha256:digest`.",
  claims: ["images-pinned"],
  check: invalid,
};

function* invalid(audit: AuditContext): Iterable<Hit> {
  for (const { resource, container, image, reference, path } of audit.fact(imagesOf))
    if (reference === undefined)
      yield {
        resource,
        path,
        title: `container \`${container.name}\` has \`${image}\`, which is no image's name`,
      };
}
