import type { AuditContext } from "../audit-context.ts";
import { imagesOf } from "../facts/images.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const signatureRefused: AuditRule = {
  id: "BW0705",
  title: "A signature of an image that does not hold",
  severity: "critical",
  attacks: ["C1", "C3"],
  what: "With `--signatures`: images whose digest signatures speak of, of which none holds for the keys and identities that are trusted: tampered with, by somebody else, with a certificate that had ended or has no trusted time, not in the transparency log that the trusted root asks for.",
  why: "Somebody wanted this image to look signed. It may be a program that nobody of yours has built.",
  fix: "Do not run it before it is known who signed it and why: compare the digest with that of the release, and have it signed anew.",
  claims: ["images-signed"],
  check: refused,
};

function* refused(audit: AuditContext): Iterable<Hit> {
  const verdicts = audit.settings.trust?.signatures;
  if (verdicts === undefined) return;
  for (const { resource, container, image, path } of audit.fact(imagesOf)) {
    const verdict = verdicts.get(image);
    if (verdict?.outcome !== "refused") continue;
    const reasons = verdict.refused.map(({ file, reason }) => `${file}: ${reason}`);
    yield {
      resource,
      path,
      title: `container \`${container.name}\` runs \`${image}\`, whose signature does not hold: ${reasons.join("; ")}`,
    };
  }
}
