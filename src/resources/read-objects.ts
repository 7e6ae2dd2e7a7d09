import type { Diagnostic, Span } from "./diagnostic.ts";
import { didYouMean } from "./did-you-mean.ts";
import type { SourceDocument } from "./read-documents.ts";
import type { FieldPath } from "./resource.ts";
import { isLocalConfiguration } from "./scope.ts";
import { quoted } from "./validate/field.ts";

export type Json = Readonly<Record<string, unknown>>;

/** One Kubernetes object as it stands in a file: of a document, or of a List in it. */
export interface SourceObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly body: Json;
  readonly file: string;
  locate(path: FieldPath, prefer?: "value" | "key"): Span;
  /** Where a place inside the text of the field stands: the field may be a document of its own. */
  locateEmbedded(path: FieldPath, inner: Span): Span;
}

/** Files of tools that live beside manifests: told apart so that a folder of them loads, and why is said. */
const NOT_CLUSTER_OBJECTS: Readonly<Record<string, string>> = {
  "kind.x-k8s.io/Cluster": "it configures a local cluster, not the mesh",
  "install.istio.io/IstioOperator":
    "Bulwark reads the mesh settings from the ConfigMap `istio` (`istioctl manifest generate` makes it)",
  "v1/Config": "it has a client's credentials (`kubeconfig`): keep it out of this folder",
  "skaffold/Config": "it configures a build tool, not the mesh",
};

const NAME_OF = { apiVersion: /^[\w.-]+(\/[\w.-]+)?$/, kind: /^[A-Za-z][A-Za-z0-9]*$/ } as const;

/** The objects in a document; every reason why something in it is none is reported. Lists are taken apart. */
export function readObjects(document: SourceDocument, report: (problem: Diagnostic) => void): SourceObject[] {
  const { value } = document;
  if (value === null || value === undefined) return [];
  const found: SourceObject[] = [];
  const pending: { value: unknown; path: FieldPath; list?: Json }[] = [{ value, path: [] }];
  for (let at = 0; at < pending.length; at++) {
    const entry = pending[at];
    if (entry === undefined) break;
    const items = isObject(entry.value) ? listItems(entry.value) : undefined;
    if (items !== undefined && entry.path.length < 20) {
      for (const [index, item] of items.entries()) {
        pending.push({ value: item, path: [...entry.path, "items", index], list: entry.value as Json });
      }
      continue;
    }
    const object = readObject(document, entry.value, entry.path, entry.list, report);
    if (object !== undefined) found.push(object);
  }
  return found;
}

/** The items of a `List`, or of a typed list such as `PodList`. */
function listItems(body: Json): readonly unknown[] | undefined {
  if (typeof body.kind !== "string" || !body.kind.endsWith("List")) return undefined;
  if (typeof body.apiVersion !== "string" || body.spec !== undefined) return undefined;
  if (body.items === null || body.items === undefined) return [];
  return Array.isArray(body.items) ? body.items : undefined;
}

function readObject(
  document: SourceDocument,
  value: unknown,
  path: FieldPath,
  list: Json | undefined,
  report: (problem: Diagnostic) => void,
): SourceObject | undefined {
  const locate = (field: FieldPath, prefer?: "value" | "key"): Span =>
    document.source.locate(document.index, [...path, ...field], prefer);
  const fail = (code: string, message: string, help: string, field: FieldPath = []): undefined => {
    report({ code, severity: "error", message, span: locate(field), help });
  };
  if (!isObject(value)) {
    // A JSON file beside manifests is often something else; a YAML document is meant to be one.
    const isOther = path.length === 0 && (/\.json$/i.test(document.source.file) || isListOfOthers(value));
    report(notAnObject(locate([]), isOther));
    return undefined;
  }
  const body = list === undefined ? value : itemOf(value, list);
  if (body.apiVersion === undefined && body.kind === undefined) {
    report(notKubernetes(locate([])));
    return undefined;
  }
  if (isPlainFile(body)) return skipPlainFile(document, locate([]), report);
  for (const field of ["apiVersion", "kind"] as const) {
    const written = body[field];
    if (typeof written === "string" && NAME_OF[field].test(written)) continue;
    const near = written === undefined ? didYouMean(field, Object.keys(body)) : undefined;
    return fail(
      "BW1010_MISSING_KIND",
      written === undefined
        ? `\`${field}\` is missing`
        : `\`${field}\` is ${quoted(written)}, which is no name of one`,
      near === undefined ? "every object says its `apiVersion` and `kind`" : `is it written \`${near}\`?`,
      [field],
    );
  }
  const apiVersion = String(body.apiVersion);
  const kind = String(body.kind);
  const skip = NOT_CLUSTER_OBJECTS[`${apiVersion.split("/")[0]}/${kind}`];
  if (skip !== undefined) {
    report(skipped(`${kind} is no object of a cluster; it is passed over`, locate(["kind"]), skip));
    return undefined;
  }
  const metadata = body.metadata;
  if (isLocalConfiguration(apiVersion) && (!isObject(metadata) || metadata.name === undefined))
    return localConfiguration(document, path, { apiVersion, kind, body });
  if (!isObject(metadata) || typeof metadata.name !== "string" || metadata.name === "") {
    return fail(
      "BW1011_MISSING_NAME",
      `${kind} without a name: \`metadata.name\` must be a string that is not empty`,
      isObject(metadata) && metadata.generateName !== undefined
        ? "generateName is for objects that are created once: give a name"
        : "add `metadata: {name: …}`; quote a name that looks like a number",
      ["metadata", "name"],
    );
  }
  return placed(document, path, { apiVersion, kind, name: metadata.name, body });
}

function placed(
  document: SourceDocument,
  path: FieldPath,
  object: Pick<SourceObject, "apiVersion" | "kind" | "name" | "body">,
): SourceObject {
  const { source, index } = document;
  return {
    ...object,
    file: source.file,
    locate: (field, prefer) => source.locate(index, [...path, ...field], prefer),
    locateEmbedded: (field, inner) => source.locateEmbedded(index, [...path, ...field], inner),
  };
}

/** Its type has no name: it is called as its file. */
function localConfiguration(
  document: SourceDocument,
  path: FieldPath,
  { apiVersion, kind, body }: Pick<SourceObject, "apiVersion" | "kind" | "body">,
): SourceObject {
  const file = document.source.file.split("/").at(-1) ?? "";
  const stem = file.replace(/\.(ya?ml|json)$/i, "").toLowerCase();
  const name = stem.replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-|-$/g, "") || "file";
  const metadata = isObject(body.metadata) ? body.metadata : {};
  return placed(document, path, {
    apiVersion,
    kind,
    name,
    body: { ...body, metadata: { ...metadata, name } },
  });
}

/** Patches of kustomize, tasks of Ansible: each item is a mapping that could be no manifest. */
function isListOfOthers(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((item) => isObject(item) && item.apiVersion === undefined && item.kind === undefined)
  );
}

/** The API server leaves kind and version out of the items of typed lists. */
function itemOf(item: Json, list: Json): Json {
  const kind = String(list.kind).replace(/List$/, "");
  if (item.kind !== undefined || item.apiVersion !== undefined || kind === "") return item;
  return { apiVersion: list.apiVersion, kind, ...item };
}

/** Chart.yaml and the like: a version, but neither kind nor metadata. */
function isPlainFile(body: Json): boolean {
  return body.kind === undefined && typeof body.name === "string" && /^v[12]$/.test(String(body.apiVersion));
}

function skipPlainFile(
  document: SourceDocument,
  span: Span,
  report: (problem: Diagnostic) => void,
): undefined {
  const file = document.source.file.split("/").at(-1) ?? "";
  report(
    skipped(
      `\`${file}\` describes a Helm chart; it is passed over`,
      span,
      "render the chart first: `helm template CHART > mesh.yaml`",
    ),
  );
}

function skipped(message: string, span: Span, help: string): Diagnostic {
  return { code: "BW1013_NOT_A_CLUSTER_OBJECT", severity: "info", message, span, help };
}

function notAnObject(span: Span, isOther: boolean): Diagnostic {
  return {
    code: "BW1009_NOT_AN_OBJECT",
    severity: isOther ? "warning" : "error",
    message: "this document is no map of fields, so it is no Kubernetes object",
    span,
    help: "a manifest starts with `apiVersion:` and `kind:`",
  };
}

function notKubernetes(span: Span): Diagnostic {
  return {
    code: "BW1015_NOT_KUBERNETES",
    severity: "warning",
    message: "neither `apiVersion` nor `kind`: this document is no Kubernetes object and is passed over",
    span,
    help: "if it should be one, add both; else keep it out of this folder",
  };
}

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
