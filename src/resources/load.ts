import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { loadAll } from "js-yaml";
import type { Diagnostic } from "./diagnostic.ts";
import type { Resource } from "./resource.ts";

/** A resource that takes no part, with every reason. */
export interface RejectedResource {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly errors: readonly Diagnostic[];
}

export interface LoadedResources {
  readonly resources: readonly Resource[];
  readonly rejected: readonly RejectedResource[];
  /** Problems of files rather than of resources, and warnings. */
  readonly diagnostics: readonly Diagnostic[];
  readonly files: readonly string[];
}

/** Reads every YAML and JSON file of the folders and files named, in the order named, folders sorted by name. */
export async function loadResources(paths: readonly string[]): Promise<LoadedResources> {
  const files = (await Promise.all(paths.map(listFiles))).flat();
  const resources: Resource[] = [];
  for (const file of files) {
    for (const body of loadAll(await readFile(file, "utf8"))) {
      if (body !== null && body !== undefined)
        resources.push(toResource(body as Record<string, unknown>, file, resources.length));
    }
  }
  return { resources, rejected: [], diagnostics: [], files };
}

async function listFiles(path: string): Promise<string[]> {
  if ((await stat(path)).isFile()) return [path];
  const names = (await readdir(path, { recursive: true })).filter((name) => /\.(ya?ml|json)$/.test(name));
  return names.sort().map((name) => join(path, name));
}

function toResource(body: Record<string, unknown>, file: string, sequence: number): Resource {
  const metadata = (body.metadata ?? {}) as Record<string, unknown>;
  const created = metadata.creationTimestamp;
  return {
    apiVersion: String(body.apiVersion),
    kind: String(body.kind),
    name: String(metadata.name),
    namespace: String(metadata.namespace ?? "default"),
    labels: (metadata.labels ?? {}) as Record<string, string>,
    annotations: (metadata.annotations ?? {}) as Record<string, string>,
    createdAt: created === undefined ? 8e15 + sequence : new Date(created as string).getTime(),
    spec: body.spec ?? {},
    body,
    locate: () => ({ file, line: 1, column: 1, endLine: 1, endColumn: 1 }),
  };
}
