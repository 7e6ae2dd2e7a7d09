import type { AuditContext } from "../audit-context.ts";
import { judgedPods } from "../facts/pod-security.ts";
import { fieldsOf, itemsOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const namespaceUnadmitted: AuditRule = {
  id: "BW0508",
  title: "A namespace that takes any pod",
  severity: "low",
  attacks: ["C1", "C6"],
  what: "Namespaces of the files with pods and without the label `pod-security.kubernetes.io/enforce`, or with `privileged` in it. Where the files have policies of another admission (Kyverno, Gatekeeper, ValidatingAdmissionPolicy), or a PodSecurityConfiguration whose `defaults.enforce` is `baseline` or `restricted` (by itself, or in an AdmissionConfiguration), nothing is told of namespaces without the label. Kubernetes' own namespaces are left out.",
  why: "What pods may ask for is then everything: whoever may create one there, or takes over who may, has the node (BW0501 to BW0505).",
  fix: "Label it `pod-security.kubernetes.io/enforce: restricted`, or `baseline`; with Istio's CNI plugin or ambient mode pods of the mesh need nothing that these forbid.",
  claims: ["admission-held", "admission-restricted"],
  check: unadmitted,
};

const ENFORCE = "pod-security.kubernetes.io/enforce";
const OTHER_ADMISSION =
  /^(kyverno\.io|policies\.kyverno\.io|constraints\.gatekeeper\.sh|templates\.gatekeeper\.sh|policies\.kubewarden\.io)\//;

/** What the API server enforces where a namespace says nothing. */
function isHeldByDefault(audit: AuditContext): boolean {
  const inPlugins = audit
    .every("apiserver.config.k8s.io", "AdmissionConfiguration")
    .flatMap(({ body }) => [...itemsOf(body.plugins)].map(([, { configuration }]) => fieldsOf(configuration)))
    .filter(({ kind }) => kind === "PodSecurityConfiguration");
  const alone = audit
    .every("pod-security.admission.config.k8s.io", "PodSecurityConfiguration")
    .map(({ body }) => body);
  return [...inPlugins, ...alone].some(({ defaults }) =>
    ["baseline", "restricted"].includes(textOf(fieldsOf(defaults).enforce)),
  );
}

function* unadmitted(audit: AuditContext): Iterable<Hit> {
  const hasOthers = audit.mesh.resources.some(
    ({ apiVersion, kind }) => OTHER_ADMISSION.test(apiVersion) || kind === "ValidatingAdmissionPolicy",
  );
  if (hasOthers) return;
  const isHeld = audit.fact(isHeldByDefault);
  const used = new Set(audit.fact(judgedPods).map(({ namespace }) => namespace));
  for (const resource of audit.of("", "Namespace")) {
    const level = resource.labels[ENFORCE];
    if (!used.has(resource.name) || (level === undefined ? isHeld : level !== "privileged")) continue;
    yield {
      resource,
      path: level === undefined ? ["metadata", "name"] : ["metadata", "labels", ENFORCE],
      title:
        level === undefined
          ? `no Pod Security Standard is enforced in \`${resource.name}\``
          : `\`${resource.name}\` takes privileged pods`,
    };
  }
}
