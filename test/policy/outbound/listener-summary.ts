/** Listeners of a sidecar as short texts, and the services that they are for. */
import assert from "node:assert/strict";
import type { ChainTarget, FilterChain } from "../../../src/policy/outbound/filter-chains.ts";
import { buildListeners, type Listener } from "../../../src/policy/outbound/listeners.ts";
import { meshIndex } from "../../../src/policy/outbound/mesh-index.ts";
import { createProxyView } from "../../../src/policy/outbound/proxy-view.ts";
import { buildSidecarScope, selectSidecar } from "../../../src/policy/outbound/sidecar-scope.ts";
import { meshOfObjects, written } from "./objects.ts";

/** Ports by name: `http` and `http-2` alike are HTTP; `none` is without a name. */
type Ports = Readonly<Record<string, number>>;

export function kubernetes(id: string, ports: Ports, spec: object = {}): object {
  return written("Service", id, {
    clusterIP: "10.0.0.1",
    ports: Object.entries(ports).map(([name, port]) =>
      name === "udp" ? { name, port, protocol: "UDP" } : name === "none" ? { port } : { name, port },
    ),
    ...spec,
  });
}

/** A ServiceEntry for the host of its own name, on the wildcard unless it has addresses. */
export function entry(id: string, protocol: string, number: number, spec: object = {}): object {
  return written("ServiceEntry", id, {
    hosts: [id.split("/")[1]],
    resolution: "STATIC",
    ports: [{ number, name: "port", protocol }],
    ...spec,
  });
}

export interface Client {
  readonly namespace?: string;
  readonly ownAddress?: string;
}

export function listenersOf(
  { namespace = "bar", ownAddress }: Client,
  ...objects: object[]
): ReadonlyMap<string, Listener> {
  const mesh = meshOfObjects(...objects);
  const index = meshIndex(mesh);
  const scope = buildSidecarScope(index, namespace, selectSidecar(mesh, namespace, {}));
  return buildListeners(createProxyView(index, scope, namespace, { app: "client" }, false), ownAddress);
}

function targetText(target: ChainTarget): string {
  if (target.kind === "http") return "http";
  const { by, targets } = target.forward;
  const clusters = targets.map(({ name }) => name.replace("outbound|", "").replace(".svc.cluster.local", ""));
  const origin =
    by.resource === null ? "" : `${by.resource.replace("VirtualService ", "")} ${by.section} ${by.route}: `;
  return `${origin}${clusters.join(" + ")}`;
}

/** Conditions, then what the chain leads to. */
function chainText({ serverNames, blocks, onlyHttp, target }: FilterChain): string {
  const conditions = [
    ...(onlyHttp ? ["only-http"] : []),
    ...(serverNames.length > 0 ? [`sni ${serverNames.join(",")}`] : []),
    ...(blocks.length > 0 ? [`to ${blocks.join(",")}`] : []),
  ];
  return [...conditions, targetText(target)].join("; ");
}

export type Summary = Readonly<Record<string, readonly string[]>>;

/** For each listener its protocol and chains. */
export function summary(...objects: object[]): Summary {
  return summaryFor({}, ...objects);
}

export function summaryFor(of: Client, ...objects: object[]): Summary {
  return Object.fromEntries(
    [...listenersOf(of, ...objects)].map(([key, { name, protocol, chains }]) => {
      assert.equal(key, name);
      return [key, [protocol, ...chains.map(chainText)]];
    }),
  );
}
