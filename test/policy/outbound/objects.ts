/** Resources of a test's mesh as objects, where tables build them. */
import type { Mesh } from "../../../src/model/mesh.ts";
import { meshOf } from "./mesh-of.ts";

export interface Written {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string } & object;
  readonly spec: object;
}

const GROUPS: Readonly<Record<string, string>> = {
  Service: "v1",
  PeerAuthentication: "security.istio.io/v1",
};

/** @param id `namespace/name` */
export function written(kind: string, id: string, spec: object, metadata: object = {}): Written {
  const [namespace = "", name = ""] = id.split("/");
  const apiVersion = GROUPS[kind] ?? "networking.istio.io/v1";
  return { apiVersion, kind, metadata: { name, namespace, ...metadata }, spec };
}

/** The ConfigMap of the mesh's own settings. */
export function meshConfig(settings: object): object {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "istio", namespace: "istio-system" },
    data: { mesh: JSON.stringify(settings) },
  };
}

/** A workload without a Service: a client. */
export function client(id: string, labels: Record<string, string> = {}, podIP?: string): object {
  const [namespace = "", name = ""] = id.split("/");
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels },
    spec: { serviceAccountName: name, containers: [{ name: "app", image: "app" }] },
    ...(podIP === undefined ? {} : { status: { podIP, podIPs: [{ ip: podIP }] } }),
  };
}

/** The first is the oldest. */
export function meshOfObjects(...objects: readonly object[]): Mesh {
  return meshOf(objects.map((object) => JSON.stringify(object)).join("\n---\n"));
}
