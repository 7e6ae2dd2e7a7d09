import { loadAll } from "js-yaml";
import {
  SUPPORTED_KINDS,
  UNSUPPORTED_FIELDS,
  UNSUPPORTED_KINDS,
  type UnsupportedField,
} from "./coverage-table.ts";
import type { Diagnostic } from "./diagnostic.ts";
import {
  MESH_CONFIG,
  PROXY_CONFIG,
  type SettingTable,
  settingsWithoutEffect,
} from "./mesh-config-coverage.ts";
import { type FieldPath, type Resource, resourceName } from "./resource.ts";
import { apiGroup } from "./scope.ts";
import { KUBERNETES_SCHEMA } from "./yaml-schema.ts";

/**
 * What was read but is not acted on, resource by resource and field by field, in the order of the resources. For people:
 * they must not believe that a policy protects them which does nothing.
 */
export function unsupported(resources: readonly Resource[]): Diagnostic[] {
  return resources.flatMap((resource) => {
    const group = apiGroup(resource.apiVersion);
    const kind = `${group}/${resource.kind}`;
    const why = Object.hasOwn(UNSUPPORTED_KINDS, kind) ? UNSUPPORTED_KINDS[kind] : undefined;
    if (why !== undefined) return [notActedOn(resource, ["kind"], `${resource.kind} is read, but ${why}`)];
    if (!SUPPORTED_KINDS.has(kind)) {
      return [
        notActedOn(
          resource,
          ["kind"],
          `${resource.kind} of ${quotedGroup(group)} is unknown here: nothing of it takes effect`,
        ),
      ];
    }
    const ofThisKind = UNSUPPORTED_FIELDS.filter(
      (field) => field.kind === resource.kind && isOwnGroup(group),
    );
    return [
      ...ofThisKind.flatMap((field) => fieldsAt(resource, field)),
      ...SETTINGS.flatMap((settings) => settingsAt(resource, settings)),
    ];
  });
}

interface Settings {
  readonly kinds: readonly string[];
  /** Where the text of the settings stands. */
  readonly path: readonly string[];
  readonly table: SettingTable;
}

const PROXY_ANNOTATION = ["metadata", "annotations", "proxy.istio.io/config"];

const SETTINGS: readonly Settings[] = [
  { kinds: ["ConfigMap"], path: ["data", "mesh"], table: MESH_CONFIG },
  { kinds: ["Pod"], path: PROXY_ANNOTATION, table: PROXY_CONFIG },
  {
    kinds: ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"],
    path: ["spec", "template", ...PROXY_ANNOTATION],
    table: PROXY_CONFIG,
  },
];

/** Settings that are YAML within the resource. What is no YAML was rejected, or is nothing to anybody. */
function settingsAt(resource: Resource, { kinds, path, table }: Settings): Diagnostic[] {
  if (!kinds.includes(resource.kind)) return [];
  if (resource.kind === "ConfigMap" && !/^istio(-|$)/.test(resource.name)) return [];
  return findAll(resource.body, path).flatMap(({ at, value }) =>
    settingsWithoutEffect(parsedSettings(value), table).map(({ setting, why }) =>
      notActedOn(resource, at, `\`${setting}\` is read, but ${why}`),
    ),
  );
}

function parsedSettings(text: unknown): unknown {
  if (typeof text !== "string") return undefined;
  try {
    return loadAll(text, { schema: KUBERNETES_SCHEMA })[0];
  } catch {
    return undefined;
  }
}

function quotedGroup(group: string): string {
  return group === "" ? "the core group" : `\`${group}\``;
}

/** The table of fields is about Kubernetes' and Istio's kinds. */
function isOwnGroup(group: string): boolean {
  return group === "" || group === "apps" || group === "batch" || group.endsWith(".istio.io");
}

function fieldsAt(resource: Resource, { path, values, why }: UnsupportedField): Diagnostic[] {
  return findAll(resource.body, path).flatMap(({ at, value }) => {
    if (values !== undefined && !values.includes(String(value))) return [];
    const name = at
      .filter((step) => typeof step === "string")
      .slice(1)
      .join(".");
    const written = values === undefined ? `\`${name}\`` : `\`${name}: ${String(value)}\``;
    return [notActedOn(resource, at, `${written} is read, but ${why}`)];
  });
}

interface Found {
  readonly at: FieldPath;
  readonly value: unknown;
}

function findAll(body: unknown, path: readonly string[]): Found[] {
  let found: Found[] = [{ at: [], value: body }];
  for (const step of path) found = found.flatMap((place) => children(place, step));
  return found;
}

function children({ at, value }: Found, step: string): Found[] {
  if (typeof value !== "object" || value === null) return [];
  if (Array.isArray(value)) {
    return step === "[]" ? value.map((item: unknown, index) => ({ at: [...at, index], value: item })) : [];
  }
  const keys = step === "*" ? Object.keys(value) : Object.hasOwn(value, step) ? [step] : [];
  return keys.map((key) => ({ at: [...at, key], value: (value as Record<string, unknown>)[key] }));
}

function notActedOn(resource: Resource, path: FieldPath, message: string): Diagnostic {
  return {
    code: "BW1401_NOT_ACTED_ON",
    severity: "info",
    message,
    resource: resourceName(resource),
    span: resource.locate(path),
  };
}
