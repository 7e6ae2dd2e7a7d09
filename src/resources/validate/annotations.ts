import { type Field, quoted } from "./field.ts";

const DRY_RUN = "istio.io/dry-run";
const RESERVED: readonly string[] = [
  "internal.istio.io/webhook-always-reject",
  "internal.istio.io/parent-namespace",
  "internal.istio.io/parents",
];
/** What Go's strconv.ParseBool takes. */
const BOOLEANS: ReadonlySet<string> = new Set([
  "1",
  "t",
  "T",
  "TRUE",
  "true",
  "True",
  "0",
  "f",
  "F",
  "FALSE",
  "false",
  "False",
]);

/** Annotations that Istio reserves, and the one that turns a policy into a rehearsal. */
export function checkAnnotations(root: Field, kind: string): void {
  const annotations = root.at("metadata", "annotations");
  for (const name of RESERVED) {
    if (annotations.at(name).present) {
      annotations
        .at(name)
        .errorAtKey("BW1215_ANNOTATION", `the annotation ${quoted(name)} is Istio's own`, "remove it");
    }
  }
  const dryRun = annotations.at(DRY_RUN);
  if (!dryRun.present) return;
  if (kind !== "AuthorizationPolicy") {
    dryRun.errorAtKey(
      "BW1215_ANNOTATION",
      `${kind} knows no \`${DRY_RUN}\``,
      "only an AuthorizationPolicy can be rehearsed: remove it",
    );
    return;
  }
  const action = root.at("spec", "action").text || "ALLOW";
  if (action !== "ALLOW" && action !== "DENY") {
    dryRun.errorAtKey(
      "BW1215_ANNOTATION",
      `\`${DRY_RUN}\` is for ALLOW and DENY, not ${action}`,
      "remove it",
    );
  } else if (!BOOLEANS.has(dryRun.text)) {
    dryRun.error(
      "BW1215_ANNOTATION",
      `\`${DRY_RUN}\` is ${quoted(dryRun.text)}; it must be "true" or "false"`,
    );
  }
}
