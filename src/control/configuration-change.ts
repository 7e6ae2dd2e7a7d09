import type { Mesh } from "../model/mesh.ts";
import { type Resource, resourceName } from "../resources/resource.ts";
import { apiGroup } from "../resources/scope.ts";
import { type AccessGrowth, accessGrowth } from "./access-growth.ts";

/** One resource of a change. */
export interface ChangedResource {
  /** `Kind namespace/name` */
  readonly resource: string;
  /** Where it stands; of one that was removed, where it stood. Null for what Bulwark itself provides. */
  readonly file: string | null;
  readonly line: number;
}

/** What a saved change did to the configuration in force. */
export interface ConfigurationChange {
  /** RFC 3339. */
  readonly at: string;
  /** The version that it made. */
  readonly version: number;
  readonly added: readonly ChangedResource[];
  readonly changed: readonly ChangedResource[];
  readonly removed: readonly ChangedResource[];
  /** Files that are gone, of those that resources were read from. */
  readonly filesGone: readonly string[];
  /** Where access may have grown by it, and for which workloads. */
  readonly accessGrowth: readonly AccessGrowth[];
}

interface Compared {
  readonly resources: readonly Resource[];
  readonly mesh: Mesh;
}

/** Compares what was in force with what is to be. */
export function configurationChange(
  before: Compared,
  after: Compared & { readonly files: readonly string[] },
  made: { readonly at: string; readonly version: number },
): ConfigurationChange {
  const old = byKey(before.resources);
  const now = byKey(after.resources);
  const files = new Set(after.files);
  const gone = before.resources.flatMap(({ file }) =>
    file === undefined || file === "" || files.has(file) ? [] : [file],
  );
  return {
    ...made,
    added: [...now].filter(([key]) => !old.has(key)).map(([, resource]) => placed(resource)),
    changed: [...now].flatMap(([key, resource]) => {
      const was = old.get(key);
      return was === undefined || isSameBody(was, resource) ? [] : [placed(resource)];
    }),
    removed: [...old].filter(([key]) => !now.has(key)).map(([, resource]) => placed(resource)),
    filesGone: [...new Set(gone)],
    accessGrowth: accessGrowth(before.mesh, after.mesh),
  };
}

function byKey(resources: readonly Resource[]): ReadonlyMap<string, Resource> {
  return new Map(
    resources.map((resource) => {
      const { apiVersion, kind, namespace, name } = resource;
      return [`${apiGroup(apiVersion)}/${kind}/${namespace}/${name}`, resource];
    }),
  );
}

function isSameBody(a: Resource, b: Resource): boolean {
  return JSON.stringify(a.body) === JSON.stringify(b.body);
}

function placed(resource: Resource): ChangedResource {
  const file = resource.file ?? "";
  const { line } = resource.locate(["metadata", "name"]);
  return { resource: resourceName(resource), file: file === "" ? null : file, line };
}
