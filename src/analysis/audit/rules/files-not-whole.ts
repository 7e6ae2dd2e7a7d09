import type { Diagnostic } from "../../../resources/diagnostic.ts";
import { isUnbuilt } from "../../../resources/kustomization.ts";
import type { AuditContext } from "../audit-context.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const filesNotWhole: AuditRule = {
  id: "BW0003",
  title: "What is deployed is not what the files say",
  severity: "medium",
  attacks: [],
  what: "Kustomizations that change files, take some from elsewhere or leave some out (BW1018 of docs/diagnostics.md), and objects that make pods which no file shows (BW1515).",
  why: "What is found here, and what is not, is about other resources than those that run: a patch may switch mutual TLS off, and such pods may have no proxy.",
  fix: "As it is said at each: build the kustomization first (`kustomize build DIR > mesh.yaml`); add the pods as they run.",
  claims: [],
  check: notWhole,
};

const NO_PODS = "BW1515_PODS_NOT_READ";

/** Because of which nothing can be shown by the files: there may be more, or other things. */
export function leavesOpen(warning: Diagnostic): boolean {
  return isUnbuilt(warning) || warning.code === NO_PODS;
}

function* notWhole({ warnings }: AuditContext): Iterable<Hit> {
  for (const warning of warnings) {
    if (!leavesOpen(warning)) continue;
    const { message, resource = "Kustomization", span, help } = warning;
    yield {
      place: { name: resource, span },
      title: message,
      ...(help === undefined ? {} : { fix: help }),
    };
  }
}
