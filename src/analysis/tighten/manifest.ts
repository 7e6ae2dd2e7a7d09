/** Resources that are proposed, as Kubernetes has them, and what becomes of a mesh with them. */
import { dump } from "js-yaml";
import { buildMesh } from "../../model/build-mesh.ts";
import type { Mesh } from "../../model/mesh.ts";
import { formatDiagnostic } from "../../resources/diagnostic.ts";
import { loadTexts } from "../../resources/load.ts";
import type { Resource } from "../../resources/resource.ts";
import { apiGroup } from "../../resources/scope.ts";

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: unknown;
}

/** One resource that is to be applied, or deleted. */
export interface ResourceChange {
  readonly action: "add" | "replace" | "delete";
  readonly manifest: Manifest;
  /** For a person. */
  readonly why: string;
}

/** Said on every resource that is written. */
export const TIGHTENED = "bulwark.dev/tightened";

export function manifestYaml(manifest: Manifest): string {
  return dump(manifest, { lineWidth: -1, noRefs: true });
}

/** `group/Kind/namespace/name` */
export function identityOf({
  apiVersion,
  kind,
  namespace,
  name,
}: Pick<Resource, "apiVersion" | "kind" | "namespace" | "name">): string {
  return `${apiGroup(apiVersion)}/${kind}/${namespace}/${name}`;
}

function identityOfManifest({ apiVersion, kind, metadata }: Manifest): string {
  return identityOf({ apiVersion, kind, ...metadata });
}

/** The mesh as it is with the changes: what is proposed is read as any other file is, so that what would be refused is found here. */
export async function meshWith(mesh: Mesh, changes: readonly ResourceChange[]): Promise<Mesh> {
  const applied = changes.filter(({ action }) => action !== "delete");
  const texts = applied.map(({ manifest }, at) => ({
    file: `proposed-${at}.yaml`,
    text: manifestYaml(manifest),
  }));
  const { resources, rejected, diagnostics } = await loadTexts(texts);
  const errors = [
    ...rejected.flatMap((one) => one.errors),
    ...diagnostics.filter(({ severity }) => severity === "error"),
  ];
  const [first] = errors;
  if (first !== undefined)
    throw new Error(`BUG: a proposed resource is not valid: ${formatDiagnostic(first)}`);
  const changed = new Map(
    changes.map(({ manifest }) => [identityOfManifest(manifest), undefined as Resource | undefined]),
  );
  const before = new Set(mesh.resources.map(identityOf));
  for (const resource of resources) changed.set(identityOf(resource), resource);
  const kept = mesh.resources.flatMap((resource) => {
    const key = identityOf(resource);
    if (!changed.has(key)) return [resource];
    const now = changed.get(key);
    // An update keeps the age of the object.
    return now === undefined ? [] : [{ ...now, createdAt: resource.createdAt }];
  });
  return buildMesh([...kept, ...resources.filter((resource) => !before.has(identityOf(resource)))]);
}
