import type { AuditContext } from "../audit-context.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const resourceRejected: AuditRule = {
  id: "BW0106",
  title: "A resource that Istio or the API server refuses",
  severity: "high",
  same: { istio: "IST0106" },
  attacks: [],
  what: "Every resource that takes no part in the mesh because it is not valid, with all its problems (docs/diagnostics.md).",
  why: "A policy that is refused protects nothing: the last good one stays in force, and with none there is no policy at all.",
  fix: "Mend what each problem names; `bulwark can` on the same files says the same.",
  claims: ["policies-hold", "configuration-in-force"],
  check: rejections,
};

function* rejections({ rejected }: AuditContext): Iterable<Hit> {
  for (const { kind, namespace, name, errors } of rejected)
    for (const { code, message, span, help } of errors)
      yield {
        place: { name: [kind, namespace === "" ? name : `${namespace}/${name}`].join(" "), span },
        title: `${code}: ${message}`,
        ...(help === undefined ? {} : { fix: help }),
      };
}
