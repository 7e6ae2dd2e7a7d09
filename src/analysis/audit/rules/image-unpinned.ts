import type { AuditContext } from "../audit-context.ts";
import { imagesOf } from "../facts/images.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const imageUnpinned: AuditRule = {
  id: "BW0703",
  title: "An image without its digest",
  severity: "low",
  attacks: ["C1"],
  what: "Images that are named by a tag alone, other than `latest` (that is BW0702). With both, the digest counts; whether the tag is of the same image no file can tell.",
  why: "Tags can be pushed again: whoever may write to the registry, or stands between it and the node, chooses the program. Signatures are of digests, so that none can be held against a tag.",
  fix: "Add the digest: `registry/path:1.2.3@sha256:…`.",
  claims: ["images-pinned"],
  check: unpinned,
};

function* unpinned(audit: AuditContext): Iterable<Hit> {
  for (const { resource, container, image, reference, path } of audit.fact(imagesOf)) {
    if (reference === undefined || reference.digest !== undefined) continue;
    if (reference.tag !== undefined && reference.tag !== "latest")
      yield { resource, path, title: `container \`${container.name}\` runs \`${image}\`, by its tag alone` };
  }
}
