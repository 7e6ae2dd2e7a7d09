import type { AuditContext } from "../audit-context.ts";
import { imagesOf } from "../facts/images.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const signatureMissing: AuditRule = {
  id: "BW0706",
  title: "An image that nobody has signed",
  severity: "medium",
  attacks: ["C1", "C3"],
  what: "With `--signatures`: images of whose digest none of the given signatures speaks, and images that are named by a tag, against which none can be held. An attestation (provenance, a scan) is no signature.",
  why: "Nothing tells that the program is the one that was released.",
  fix: "Sign the image (`cosign sign`), name it by its digest, and give its signature with the others.",
  claims: ["images-signed"],
  check: unsigned,
};

const REASONS = {
  unsigned: "no signature is for its digest",
  "not-pinned": "it has no digest that a signature could be held against",
};

function* unsigned(audit: AuditContext): Iterable<Hit> {
  const verdicts = audit.settings.trust?.signatures;
  if (verdicts === undefined) return;
  for (const { resource, container, image, path } of audit.fact(imagesOf)) {
    const outcome = verdicts.get(image)?.outcome;
    if (outcome === "unsigned" || outcome === "not-pinned")
      yield {
        resource,
        path,
        title: `container \`${container.name}\` runs \`${image}\` unsigned: ${REASONS[outcome]}`,
      };
  }
}
