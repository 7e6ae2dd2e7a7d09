import type { Diagnostic, Span } from "../diagnostic.ts";
import { isObject, type Json, type SourceObject } from "../read-objects.ts";
import { type FieldPath, resourceName } from "../resource.ts";
import { apiGroup } from "../scope.ts";
import { checkAccessInvariant } from "./access-invariant.ts";
import { checkAdminNetworkPolicy, checkBaselineAdminNetworkPolicy } from "./admin-network-policy.ts";
import { checkAnnotations } from "./annotations.ts";
import { checkAuthorizationPolicy } from "./authorization-policy.ts";
import type { CheckContext } from "./check-context.ts";
import { checkDestinationRule } from "./destination-rule.ts";
import { Field, type FieldProblem } from "./field.ts";
import { checkGateway } from "./gateway.ts";
import { checkMeshConfig, MESH_PATH, meshText } from "./mesh-config.ts";
import { checkMetadata } from "./metadata.ts";
import { checkNetworkPolicy } from "./network-policy.ts";
import { OTHER_CHECKS } from "./other-kinds.ts";
import { checkPeerAuthentication } from "./peer-authentication.ts";
import { checkRequestAuthentication } from "./request-authentication.ts";
import { checkSchema } from "./schema.ts";
import { checkServiceEntry } from "./service-entry.ts";
import { checkSidecar } from "./sidecar.ts";
import { checkVirtualService } from "./virtual-service.ts";
import { checkWorkloadEntry } from "./workload-entry.ts";

export interface Validated {
  /** The object as the API server would keep it: without fields that are null. */
  readonly body: Json;
  readonly errors: readonly Diagnostic[];
  readonly warnings: readonly Diagnostic[];
}

const ISTIO_CHECKS: Readonly<Record<string, (spec: Field, context: CheckContext) => void>> = {
  AuthorizationPolicy: checkAuthorizationPolicy,
  PeerAuthentication: checkPeerAuthentication,
  RequestAuthentication: checkRequestAuthentication,
  DestinationRule: checkDestinationRule,
  Gateway: checkGateway,
  ServiceEntry: checkServiceEntry,
  Sidecar: checkSidecar,
  VirtualService: checkVirtualService,
  WorkloadEntry: checkWorkloadEntry,
  ...OTHER_CHECKS,
};

/** `group/Kind`: what is to be checked beyond the schema. */
const OTHER_GROUPS_CHECKS: Readonly<Record<string, (spec: Field, metadata: Field) => void>> = {
  "networking.k8s.io/NetworkPolicy": checkNetworkPolicy,
  "policy.networking.k8s.io/AdminNetworkPolicy": checkAdminNetworkPolicy,
  "policy.networking.k8s.io/BaselineAdminNetworkPolicy": checkBaselineAdminNetworkPolicy,
  "bulwark.dev/AccessInvariant": checkAccessInvariant,
};

/** Checks one object as the API server and Istio's webhook would. All its problems are found, not the first alone. */
export async function validateObject(object: SourceObject, namespace: string): Promise<Validated> {
  const problems: FieldProblem[] = [];
  const report = (problem: FieldProblem): void => void problems.push(problem);
  const { kind, apiVersion, name } = object;
  const body = hasNullField(object.body) ? (withoutNulls(object.body) as Json) : object.body;
  const root = new Field(body, [], report);
  await checkSchema(body, object.body, report);
  checkMetadata(root, apiVersion, kind);
  if (apiGroup(apiVersion).endsWith(".istio.io")) {
    checkAnnotations(root, kind);
    const check = Object.hasOwn(ISTIO_CHECKS, kind) ? ISTIO_CHECKS[kind] : undefined;
    const [labels, annotations] = [root.at("metadata", "labels"), root.at("metadata", "annotations")];
    check?.(root.at("spec"), { namespace, name, labels, annotations });
  }
  OTHER_GROUPS_CHECKS[`${apiGroup(apiVersion)}/${kind}`]?.(root.at("spec"), root.at("metadata"));
  if (isMeshConfig(object)) checkMeshConfig(root);
  const diagnostics = withoutConsequences(distinct(problems)).map((problem) =>
    toDiagnostic(problem, object, namespace),
  );
  return {
    body: KEEPS_NULLS.has(kind) ? object.body : body,
    errors: diagnostics.filter(({ severity }) => severity === "error"),
    warnings: diagnostics.filter(({ severity }) => severity === "warning"),
  };
}

/** Kinds with parts that have no schema, where null can mean something. */
const KEEPS_NULLS: ReadonlySet<string> = new Set([
  "CustomResourceDefinition",
  "EnvoyFilter",
  "TrafficExtension",
  "WasmPlugin",
]);

/** Nearly all objects are without: that is found out without making anything. */
function hasNullField(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) {
    for (const item of value) if (hasNullField(item)) return true;
    return false;
  }
  for (const key in value) {
    const own = (value as Json)[key];
    if (own === null || (typeof own === "object" && hasNullField(own))) return true;
  }
  return false;
}

/** The API server drops fields that are null; items of lists stay. Unchanged parts are shared, not copied. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) {
    const items = value.map(withoutNulls);
    return items.some((item, index) => item !== value[index]) ? items : value;
  }
  if (!isObject(value)) return value;
  let copy: Record<string, unknown> | undefined;
  for (const key in value) {
    const before = value[key];
    if (typeof before !== "object") continue;
    const after = before === null ? undefined : withoutNulls(before);
    if (after === before) continue;
    copy ??= { ...value };
    if (after === undefined) delete copy[key];
    else copy[key] = after;
  }
  return copy ?? value;
}

/** The schema and Istio's own checks overlap: one place has one problem of a kind. */
function distinct(problems: readonly FieldProblem[]): FieldProblem[] {
  const seen = new Set<string>();
  return problems.filter(({ code, path }) => {
    const key = `${code} ${JSON.stringify(path)}`;
    return !seen.has(key) && seen.add(key);
  });
}

/** What is said of a place's shape. */
const SHAPE: ReadonlySet<string> = new Set(["BW1101_UNKNOWN_FIELD", "BW1102_WRONG_TYPE"]);

/** One mistake is told once: a clause whose only field is misspelt is not empty, and a field that is missing has no bad value. */
function withoutConsequences(problems: readonly FieldProblem[]): readonly FieldProblem[] {
  const placesOf = (isMeant: (code: string) => boolean): readonly string[] =>
    problems.filter(({ code }) => isMeant(code)).map(({ path }) => JSON.stringify(path));
  const misshapen = placesOf((code) => SHAPE.has(code));
  const missing = placesOf((code) => code === "BW1104_MISSING_FIELD");
  if (misshapen.length + missing.length === 0) return problems;
  return problems.filter(({ code, path }) => {
    const own = JSON.stringify(path);
    if (code === "BW1209_EMPTY_CLAUSE")
      return !misshapen.some((other) => other.startsWith(`${own.slice(0, -1)},`));
    return code === "BW1104_MISSING_FIELD" || !missing.includes(own);
  });
}

function toDiagnostic(problem: FieldProblem, object: SourceObject, namespace: string): Diagnostic {
  const { code, severity, message, path, atKey, help } = problem;
  return {
    code,
    severity,
    message,
    resource: printable(resourceName({ kind: object.kind, name: object.name, namespace })),
    span: spanOf(object, path, atKey ? "key" : "value"),
    ...(help === undefined ? {} : { help }),
  };
}

/** A name that was refused can hold anything; a message is one line. */
function printable(name: string): string {
  return name.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 320);
}

/** The ConfigMap `istio`, or that of a revision (`istio-canary`), which holds the settings of the whole mesh. */
function isMeshConfig({ apiVersion, kind, name }: SourceObject): boolean {
  return apiVersion === "v1" && kind === "ConfigMap" && /^istio(-|$)/.test(name);
}

function spanOf(object: SourceObject, path: FieldPath, prefer: "value" | "key"): Span {
  const isInMesh = path.length > MESH_PATH.length && isMeshConfig(object);
  if (!isInMesh || path[0] !== "data" || path[1] !== "mesh") return object.locate(path, prefer);
  const text = (object.body.data as Json).mesh;
  const inner = meshText(String(text)).locate(0, path.slice(MESH_PATH.length), prefer);
  return object.locateEmbedded(MESH_PATH, inner);
}
