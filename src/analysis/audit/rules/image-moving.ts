import type { AuditContext } from "../audit-context.ts";
import { imagesOf } from "../facts/images.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const imageMoving: AuditRule = {
  id: "BW0702",
  title: "An image by the tag `latest`, or by none",
  severity: "medium",
  attacks: ["C1"],
  what: "Images with no digest whose tag is `latest` or missing, which is the same.",
  why: "Which program runs is decided whenever a node pulls: by whoever may push to the repository, without a change in the mesh's files. Two pods of one Deployment can run two programs, and nobody can say which ran yesterday.",
  fix: "Name the version, and the digest with it: `registry/path:1.2.3@sha256:…`.",
  claims: ["images-pinned"],
  check: moving,
};

function* moving(audit: AuditContext): Iterable<Hit> {
  for (const { resource, container, image, reference, path } of audit.fact(imagesOf)) {
    if (reference === undefined || reference.digest !== undefined) continue;
    if (reference.tag === undefined || reference.tag === "latest")
      yield {
        resource,
        path,
        title: `container \`${container.name}\` runs \`${image}\`: whatever was pushed last`,
      };
  }
}
