import { wholeFile } from "./list-files.ts";
import type { Json } from "./read-objects.ts";
import type { Resource } from "./resource.ts";
import { isClusterScoped } from "./scope.ts";

/** A resource as it is sent to another process: everything but the way back to its text. */
export interface WireResource {
  readonly body: Readonly<Record<string, unknown>>;
  readonly file: string;
  readonly createdAt: number;
}

/** Documents without `creationTimestamp` count as created after all that have one, in their order: see Resource. */
const UNDATED_FROM = 8e15;

/**
 * A resource from an object that was validated before, here or in another process.
 * @param origin.createdAt milliseconds since the epoch.
 * @param locate the way to its text; without one every field is said to stand at the file's beginning.
 */
export function resourceFromJson(
  body: Json,
  origin: { readonly file: string; readonly createdAt: number },
  locate: Resource["locate"] = () => wholeFile(origin.file),
): Resource {
  const metadata = record(body.metadata);
  const apiVersion = String(body.apiVersion);
  const kind = String(body.kind);
  return {
    apiVersion,
    kind,
    name: String(metadata.name),
    namespace: namespaceOf(apiVersion, kind, metadata),
    labels: stringMap(metadata.labels),
    annotations: stringMap(metadata.annotations),
    createdAt: origin.createdAt,
    file: origin.file,
    spec: body.spec ?? {},
    body,
    locate,
  };
}

/** What `resourceFromJson` needs to build equal resources elsewhere; safe for JSON. */
export function toWire(resources: readonly Resource[]): WireResource[] {
  return resources.map((resource) => ({
    body: resource.body,
    file: resource.file ?? "",
    createdAt: resource.createdAt,
  }));
}

export function fromWire(resources: readonly WireResource[]): Resource[] {
  return resources.map((wire) => resourceFromJson(wire.body, wire));
}

export function createdAtOf(body: Json, sequence: number): number {
  const written = record(body.metadata).creationTimestamp;
  const time = typeof written === "string" ? Date.parse(written) : Number.NaN;
  return Number.isNaN(time) ? UNDATED_FROM + sequence : time;
}

export function namespaceOf(apiVersion: string, kind: string, metadata: Json): string {
  if (isClusterScoped(apiVersion, kind)) return "";
  const { namespace } = metadata;
  return typeof namespace === "string" && namespace !== "" ? namespace : "default";
}

function record(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

function stringMap(value: unknown): Readonly<Record<string, string>> {
  const source = record(value);
  for (const key in source) {
    if (typeof source[key] !== "string") {
      return Object.fromEntries(Object.entries(source).map(([name, entry]) => [name, String(entry ?? "")]));
    }
  }
  return source as Record<string, string>;
}
