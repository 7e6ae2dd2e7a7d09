/**
 * Files of kustomize beside manifests. One that only lists them says nothing that they do not; others make something else of them, which only
 * kustomize knows. Source: kubectl.docs.kubernetes.io/references/kustomize/kustomization.
 */
import type { Diagnostic, Span } from "./diagnostic.ts";

/** Of what a folder means once it is built nobody can say: {@link isUnbuilt}. */
const CODE = "BW1018_KUSTOMIZATION";
const KINDS: ReadonlySet<string> = new Set(["Kustomization", "Component"]);
/** Fields that change no object. */
const PLAIN: ReadonlySet<string> = new Set([
  "apiVersion",
  "kind",
  "metadata",
  "resources",
  "bases",
  "sortOptions",
  "buildMetadata",
  "openapi",
]);

type Json = Readonly<Record<string, unknown>>;

/** Whether the object is one of kustomize's own: by its group, or by the file's name, as kustomize has it. */
export function isKustomization(file: string, { apiVersion, kind }: Json): boolean {
  if (typeof apiVersion === "string" && apiVersion.startsWith("kustomize.config.k8s.io/"))
    return typeof kind === "string" && KINDS.has(kind);
  return apiVersion === undefined && kind === undefined && /(^|\/)kustomization\.ya?ml$/.test(file);
}

/** `info` where it lists files of this folder and nothing else. */
export function kustomizationDiagnostic(body: Json, locate: (field: readonly string[]) => Span): Diagnostic {
  const help = "build it first: `kustomize build DIR > mesh.yaml`";
  const changing = Object.keys(body).find((field) => !PLAIN.has(field));
  if (changing !== undefined)
    return {
      code: CODE,
      severity: "warning",
      message: `the kustomization has \`${changing}\`: what is deployed is not what these files say`,
      span: locate([changing]),
      help,
    };
  const field = ["resources", "bases"].find((name) => listOf(body[name]).some(isElsewhere));
  if (field !== undefined)
    return {
      code: CODE,
      severity: "warning",
      message: `the kustomization takes \`${listOf(body[field]).find(isElsewhere)}\` from elsewhere: more is deployed than this folder has`,
      span: locate([field]),
      help,
    };
  return {
    code: "BW1013_NOT_A_CLUSTER_OBJECT",
    severity: "info",
    message: "Kustomization is no object of a cluster; it is passed over",
    span: locate([]),
    help,
  };
}

function listOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

/** Of another repository, or out of the folder. */
function isElsewhere(resource: string): boolean {
  return (
    resource.startsWith("..") ||
    resource.startsWith("/") ||
    /:\/\/|[?&]ref=|^git@|^github\.com\//.test(resource)
  );
}

/** Whether the warning says that the files are not all of what is deployed, so that nothing is proven by them. */
export function isUnbuilt({ code }: Diagnostic): boolean {
  return code === CODE;
}
