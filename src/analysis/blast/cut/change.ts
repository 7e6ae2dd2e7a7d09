/** A change that takes something from an attacker, as whole resources that replace those of their names, or are new. */
import { dump } from "js-yaml";
import { buildMesh } from "../../../model/build-mesh.ts";
import type { Mesh } from "../../../model/mesh.ts";
import { formatDiagnostic } from "../../../resources/diagnostic.ts";
import { loadTexts } from "../../../resources/load.ts";
import type { Resource } from "../../../resources/resource.ts";
import { apiGroup } from "../../../resources/scope.ts";

export type Json = Readonly<Record<string, unknown>>;

export interface Change {
  /** Equal ids, equal changes. */
  readonly id: string;
  /** What it is taken to cost those who run the mesh; docs/blast.md has the table. */
  readonly weight: number;
  /** One line for a person. */
  readonly title: string;
  /** One line: what somebody may lose by it who needs it, or the command that tells. */
  readonly takes: string;
  /** The resource as it is to be. From the mesh as it is now: two changes of one resource follow one another. */
  readonly document: Json;
}

/** What `kubectl apply -f` takes. */
export function changeYaml({ title, takes, document }: Change): string {
  return `# ${title}\n# Takes: ${takes}\n${dump(document, { lineWidth: -1, noRefs: true })}`;
}

/** Of several changes of one resource the last, which has the others in it. */
export function lastOfEach(changes: readonly Change[]): readonly Change[] {
  const last = new Map<string, Change>();
  for (const change of changes) {
    const { apiVersion, kind, metadata } = change.document as {
      apiVersion: string;
      kind: string;
      metadata: Json;
    };
    const key = [apiGroup(apiVersion), kind, metadata.namespace ?? "", metadata.name].join("/");
    last.delete(key);
    last.set(key, change);
  }
  return [...last.values()];
}

/** The mesh with the changes, read as any file is: what would be refused is found here. */
export async function meshWithChanges(mesh: Mesh, changes: readonly Change[]): Promise<Mesh> {
  const texts = changes.map((change, at) => ({ file: `cut-${at}.yaml`, text: changeYaml(change) }));
  const { resources, rejected, diagnostics } = await loadTexts(texts);
  const errors = [
    ...rejected.flatMap((one) => one.errors),
    ...diagnostics.filter(({ severity }) => severity === "error"),
  ];
  const [first] = errors;
  if (first !== undefined) throw new Error(`BUG: a proposed change is not valid: ${formatDiagnostic(first)}`);
  const changed = new Map(resources.map((resource) => [keyOf(resource), resource]));
  const kept = mesh.resources.map((resource) => {
    const now = changed.get(keyOf(resource));
    changed.delete(keyOf(resource));
    // An update keeps the age of the object.
    return now === undefined ? resource : { ...now, createdAt: resource.createdAt };
  });
  return buildMesh([...kept, ...changed.values()]);
}

function keyOf({ apiVersion, kind, namespace, name }: Resource): string {
  return `${apiGroup(apiVersion)}/${kind}/${namespace}/${name}`;
}

/**
 * A resource's document with one part of it another; what the API server writes itself is left out, since it refuses a change of an older version of it (409) and
 * `managedFields` altogether. The time of creation stays: Istio goes by it, and the server keeps its own.
 */
export function documentWith(resource: Resource, path: readonly (string | number)[], value: unknown): Json {
  const { status: _status, ...rest } = resource.body;
  return { ...(set(rest, path, value) as Json), metadata: metadataOf(resource, path, value) };
}

const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

function metadataOf({ body, namespace }: Resource, path: readonly (string | number)[], value: unknown): Json {
  const { metadata } = set(body, path, value) as { readonly metadata: Json };
  const {
    resourceVersion: _version,
    uid: _uid,
    generation: _generation,
    selfLink: _link,
    managedFields: _managed,
    annotations,
    ...rest
  } = metadata;
  const own = Object.entries((annotations ?? {}) as Json).filter(([key]) => key !== LAST_APPLIED);
  return {
    ...rest,
    // Without one kubectl takes that of its context.
    ...(namespace === "" ? {} : { namespace }),
    ...(own.length === 0 ? {} : { annotations: Object.fromEntries(own) }),
  };
}

function set(at: unknown, [step, ...rest]: readonly (string | number)[], value: unknown): unknown {
  if (step === undefined) return value;
  if (Array.isArray(at))
    return at.map((item: unknown, index) => (index === step ? set(item, rest, value) : item));
  const own = typeof at === "object" && at !== null ? (at as Json) : {};
  const inner = set(own[String(step)], rest, value);
  if (inner !== undefined) return { ...own, [String(step)]: inner };
  const { [String(step)]: _removed, ...others } = own;
  return others;
}
