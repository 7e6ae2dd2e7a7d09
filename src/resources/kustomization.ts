/**
 * Files of kustomize beside manifests. One that only lists them says nothing that they do not; others make something else of them, which only
 * kustomize knows. Source: kubectl.docs.kubernetes.io/references/kustomize/kustomization.
 */
import { posix } from "node:path";
import type { Diagnostic, Span } from "./diagnostic.ts";
import type { SourceDocument } from "./read-documents.ts";

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

export interface Kustomization {
  readonly file: string;
  readonly body: Json;
  locate(field: readonly string[]): Span;
}

/** The document as one of kustomize's own files, if it is: by its group, or by the file's name, as kustomize has it. */
export function kustomizationIn({ value, source, index }: SourceDocument): Kustomization | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const body = value as Json;
  const { file } = source;
  return isKustomization(file, body)
    ? { file, body, locate: (field) => source.locate(index, field) }
    : undefined;
}

function isKustomization(file: string, { apiVersion, kind }: Json): boolean {
  if (typeof apiVersion === "string" && apiVersion.startsWith("kustomize.config.k8s.io/"))
    return typeof kind === "string" && KINDS.has(kind);
  return apiVersion === undefined && kind === undefined && KUSTOMIZATION_FILE.test(file);
}

/** What kustomize looks for in a folder. */
const KUSTOMIZATION_FILE = /(^|\/)(kustomization\.ya?ml|Kustomization)$/;

/**
 * `info` where it lists what is in its folder, all of it, and does nothing else.
 * @param files those with objects that are read beside it.
 */
export function kustomizationDiagnostic(
  { file, body, locate }: Kustomization,
  files: readonly string[],
): Diagnostic {
  const warning = (field: string, message: string): Diagnostic => ({
    code: CODE,
    severity: "warning",
    message,
    span: locate(field in body ? [field] : []),
    help: HELP,
  });
  const changing = Object.keys(body).find((field) => !PLAIN.has(field));
  if (changing !== undefined)
    return warning(
      changing,
      `the kustomization has \`${changing}\`: what is deployed is not what these files say`,
    );
  const listed = [...listOf(body.resources), ...listOf(body.bases)];
  const elsewhere = listed.find(isElsewhere);
  if (elsewhere !== undefined)
    return warning(
      listOf(body.resources).includes(elsewhere) ? "resources" : "bases",
      `the kustomization takes \`${elsewhere}\` from elsewhere: more is deployed than this folder has`,
    );
  const folder = posix.dirname(file);
  const paths = listed.map((path) => posix.join(folder, path));
  const isListed = (other: string): boolean =>
    paths.some((path) => other === path || other.startsWith(`${path.replace(/\/$/, "")}/`));
  const unlisted = files.find((other) => isBelow(other, folder) && !isListed(posix.normalize(other)));
  if (unlisted !== undefined)
    return warning(
      "resources",
      `the kustomization does not list \`${posix.relative(folder, unlisted)}\`: it is read here, and not deployed`,
    );
  return {
    code: "BW1013_NOT_A_CLUSTER_OBJECT",
    severity: "info",
    message: "Kustomization is no object of a cluster; it is passed over",
    span: locate([]),
    help: HELP,
  };
}

const HELP = "build it first: `kustomize build DIR > mesh.yaml`";

function isBelow(file: string, folder: string): boolean {
  return folder === "." ? !posix.isAbsolute(file) : posix.normalize(file).startsWith(`${folder}/`);
}

function listOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

/** Out of the folder, or of another repository: by a scheme, a user, a revision, or a path that begins with a host. */
function isElsewhere(resource: string): boolean {
  const path = posix.normalize(resource);
  return (
    path === ".." ||
    path.startsWith("../") ||
    path.startsWith("/") ||
    /:\/\/|[?&]ref=|^[^/]+@[^/]+:/.test(resource) ||
    /^[^/]*[^./][^/]*\.[^/]*\//.test(path)
  );
}

/** Whether the warning says that the files are not all of what is deployed, so that nothing is proven by them. */
export function isUnbuilt({ code }: Diagnostic): boolean {
  return code === CODE;
}
