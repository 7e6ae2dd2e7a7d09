/** What a client in foo is told of under a Sidecar, as short texts. */
import assert from "node:assert/strict";
import type { Mesh } from "../../../src/model/mesh.ts";
import { meshIndex } from "../../../src/policy/outbound/mesh-index.ts";
import {
  buildSidecarScope,
  type SidecarScope,
  selectSidecar,
} from "../../../src/policy/outbound/sidecar-scope.ts";
import { meshOfObjects, written } from "./objects.ts";

export const sidecar = (id: string, spec: object = {}): object => written("Sidecar", id, spec);

export function service(
  id: string,
  ports: readonly number[] = [80],
  spec: object = {},
  exportTo = "",
): object {
  return written(
    "Service",
    id,
    { ports: ports.map((port) => ({ port, name: `http-${port}` })), ...spec },
    exportTo === "" ? {} : { annotations: { "networking.istio.io/exportTo": exportTo } },
  );
}

export function entry(
  id: string,
  hosts: readonly string[],
  ports: readonly number[] = [80],
  spec: object = {},
): object {
  return written("ServiceEntry", id, {
    hosts,
    resolution: "STATIC",
    ports: ports.map((number) => ({ number, name: `http-${number}`, protocol: "HTTP" })),
    ...spec,
  });
}

/** `foo/web` of `web.foo.svc.cluster.local`, with its ports and, behind ~, its aliases. */
export function nameOf(own: SidecarScope["listeners"][number]["services"][number]): string {
  const aliases = own.aliases.map(({ hostname }) => `~${hostname.replace(".svc.cluster.local", "")}`);
  const host = own.hostname.replace(".svc.cluster.local", "");
  return [`${own.namespace}/${host}`, own.ports.map(({ port }) => port).join(","), ...aliases].join(" ");
}

interface Summary {
  readonly services: readonly string[];
  readonly virtualServices: string;
}

/** The only listener's services and VirtualServices. */
export function imported(scope: SidecarScope): Summary {
  const [listener, ...rest] = scope.listeners;
  assert.ok(listener !== undefined && rest.length === 0);
  return {
    services: listener.services.map(nameOf),
    virtualServices: listener.virtualServices.map(({ namespace, name }) => `${namespace}/${name}`).join(" "),
  };
}

export function scopeOf(mesh: Mesh, namespace = "foo"): SidecarScope {
  return buildSidecarScope(meshIndex(mesh), namespace, selectSidecar(mesh, namespace, {}));
}

/** The scope of a client in foo under a Sidecar with one egress listener. */
export function under(egress: object, ...objects: object[]): SidecarScope {
  return scopeOf(meshOfObjects(...objects, sidecar("foo/own", { egress: [egress] })));
}
