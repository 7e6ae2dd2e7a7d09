import type { Mesh, Workload } from "../../model/mesh.ts";
import { resourceName } from "../../resources/resource.ts";
import { COMMON_NAMESPACE, distinctNamespaces } from "./common-view.ts";
import { type Destination, findDestination } from "./dialled.ts";
import { ChainMatcher, type ChainTarget, type Opening } from "./filter-chains.ts";
import { buildListeners, type Listener, listenerName } from "./listeners.ts";
import { type MeshIndex, meshIndex } from "./mesh-index.ts";
import { createProxyView, type ProxyView } from "./proxy-view.ts";
import { UNSPECIFIED } from "./registry.ts";
import { type DestinationRuleShape, shapeOf } from "./resource-shapes.ts";
import { buildSidecarScope, type SidecarScope, selectSidecar } from "./sidecar-scope.ts";
import { decideTcp } from "./tcp-forward.ts";
import type {
  DialedDestination,
  ListenerProtocol,
  OutboundDecision,
  OutboundHttpRequest,
  OutboundPolicy,
  Semantics,
} from "./types.ts";
import { decideUnknown } from "./unknown-destination.ts";

/**
 * Compiles the client's side of one workload. Everything that workloads of one mesh share is compiled once: those of one
 * namespace under one Sidecar, with equal labels where routes or rules ask for labels, get the very same policy.
 * Listeners and routes are compiled when first asked for.
 * @param _options the client's side decides the same under both semantics; the difference is made at gateways.
 */
export function compileOutbound(
  mesh: Mesh,
  workload: Workload,
  _options: { readonly semantics?: Semantics } = {},
): OutboundPolicy {
  return sidecarOf(mesh, workload).policy;
}

/** A compiled sidecar with its inside, for explanations. */
export interface CompiledSidecar {
  readonly view: ProxyView;
  readonly policy: OutboundPolicy;
  readonly locate: (destination: DialedDestination) => LocatedListener;
  readonly listenerAt: (destination: Destination, port: number) => LocatedListener;
}

/** Where a connection lands. */
export interface LocatedListener {
  readonly destination: Destination;
  /** Undefined: no listener, the outbound traffic policy decides. */
  readonly listener?: Listener;
  readonly matcher?: ChainMatcher;
}

interface SharedParts {
  readonly scopes: Map<string, SidecarScope>;
  readonly sidecars: Map<string, CompiledSidecar>;
  /** Namespaces that are not compiled together with others. */
  readonly distinct: ReadonlySet<string>;
  readonly sourceLabels: ReadonlySet<string>;
  readonly headlessAddresses: ReadonlySet<string>;
}

const SHARED = new WeakMap<MeshIndex, SharedParts>();

export function sidecarOf(mesh: Mesh, workload: Workload): CompiledSidecar {
  const index = meshIndex(mesh);
  const shared = sharedParts(index);
  const { namespace, labels } = workload;
  const resource = selectSidecar(mesh, namespace, labels);
  const relevant = Object.fromEntries(
    Object.entries(labels)
      .filter(([key]) => shared.sourceLabels.has(key))
      .sort(),
  );
  const address = workload.addresses.find((own) => shared.headlessAddresses.has(own));
  const name = resource === undefined ? null : resourceName(resource);
  const keyOf = (of: string): string => JSON.stringify([of, name, relevant, address ?? null]);
  const compile = (of: string): CompiledSidecar =>
    computed(shared.sidecars, keyOf(of), () => {
      const scope = computed(shared.scopes, JSON.stringify([of, name]), () =>
        buildSidecarScope(index, of, resource),
      );
      return compileSidecar(createProxyView(index, scope, of, relevant, false), address);
    });
  if (resource !== undefined || shared.distinct.has(namespace)) return compile(namespace);
  const common = compile(COMMON_NAMESPACE);
  return computed(shared.sidecars, keyOf(namespace), () => sidecarIn(common, namespace));
}

function computed<V>(known: Map<string, V>, key: string, compute: () => V): V {
  let value = known.get(key);
  if (value === undefined) {
    value = compute();
    known.set(key, value);
  }
  return value;
}

/** The same listeners and routes, as a namespace names what it calls. */
function sidecarIn(common: CompiledSidecar, namespace: string): CompiledSidecar {
  const view = { ...common.view, namespace, scope: { ...common.view.scope, namespace } };
  const locate = (dialled: DialedDestination): LocatedListener =>
    common.listenerAt(findDestination(view, dialled), dialled.port);
  return { view, locate, listenerAt: common.listenerAt, policy: outboundPolicy(view, locate) };
}

function sharedParts(index: MeshIndex): SharedParts {
  let shared = SHARED.get(index);
  if (shared === undefined) {
    shared = {
      scopes: new Map(),
      sidecars: new Map(),
      distinct: distinctNamespaces(index),
      sourceLabels: labelsAskedFor(index),
      headlessAddresses: headlessAddresses(index),
    };
    SHARED.set(index, shared);
  }
  return shared;
}

/** Labels of clients that some route or rule tells clients apart by. */
function labelsAskedFor({ mesh, virtualServices }: MeshIndex): ReadonlySet<string> {
  const keys = new Set<string>();
  const add = (labels: Readonly<Record<string, string>> | undefined): void => {
    for (const key of Object.keys(labels ?? {})) keys.add(key);
  };
  for (const service of virtualServices.all) {
    const routes = [...service.http.map(({ route }) => route), ...service.tls, ...service.tcp];
    for (const { match = [] } of routes) for (const { sourceLabels } of match) add(sourceLabels);
  }
  for (const rule of mesh.destinationRules)
    add(shapeOf<DestinationRuleShape>(rule).workloadSelector?.matchLabels);
  return keys;
}

function headlessAddresses({ registry }: MeshIndex): ReadonlySet<string> {
  const addresses = new Set<string>();
  for (const service of registry.services) {
    if (service.resolution !== "passthrough" && service.resolution !== "none") continue;
    for (const { workload, address } of service.model.endpoints) {
      if (address !== undefined) addresses.add(address);
      for (const own of workload?.addresses ?? []) addresses.add(own);
    }
  }
  return addresses;
}

function compileSidecar(view: ProxyView, ownAddress: string | undefined): CompiledSidecar {
  let listeners: ReadonlyMap<string, Listener> | undefined;
  const matchers = new Map<Listener, ChainMatcher>();
  const matcherOf = (listener: Listener): ChainMatcher => {
    let matcher = matchers.get(listener);
    if (matcher === undefined) {
      matcher = new ChainMatcher(listener.chains);
      matchers.set(listener, matcher);
    }
    return matcher;
  };
  const listenerAt = (destination: Destination, port: number): LocatedListener => {
    listeners ??= buildListeners(view, ownAddress);
    const own =
      destination.key === undefined ? undefined : listeners.get(listenerName(destination.key, port));
    const listener = own ?? listeners.get(listenerName(UNSPECIFIED, port));
    return listener === undefined ? { destination } : { destination, listener, matcher: matcherOf(listener) };
  };
  const locate = (dialled: DialedDestination): LocatedListener =>
    listenerAt(findDestination(view, dialled), dialled.port);
  return { view, locate, listenerAt, policy: outboundPolicy(view, locate) };
}

const NO_LISTENER = "virtualOutbound";

function outboundPolicy(view: ProxyView, locate: CompiledSidecar["locate"]): OutboundPolicy {
  const take = (
    dialled: DialedDestination,
    opening: Opening,
    http?: OutboundHttpRequest,
  ): OutboundDecision => {
    const { destination, listener, matcher } = locate(dialled);
    const name = listener?.name ?? NO_LISTENER;
    const target: ChainTarget | undefined = matcher?.find(destination.address, opening);
    const decision =
      target === undefined
        ? decideUnknown(
            view,
            { kind: opening.kind === "http" ? "clear-http" : "bytes" },
            name,
            destination.service,
          )
        : target.kind === "http" && http !== undefined
          ? target.table.route(http, name, view.namespace)
          : target.kind === "tcp"
            ? decideTcp(target.forward, name, opening.kind === "http", opening.sni)
            : undefined;
    return withDialled(decision ?? closed(name), destination);
  };
  return {
    listenerProtocol: (dialled): ListenerProtocol => locate(dialled).listener?.protocol ?? "tcp",
    readsServerName: (dialled) => locate(dialled).matcher?.readsSni,
    routeHttp: (request) => take(request, { kind: "http" }, request),
    routeTls: (connection) => take(connection, { kind: "tls", sni: connection.sni }),
    routeTcp: (dialled) => take(dialled, { kind: "tcp" }),
    clusters: view.clusters,
  };
}

/** An HTTP-only listener was spoken to in something else: Envoy closes on the first bytes that are no HTTP. */
function closed(listener: string): OutboundDecision {
  const by = { resource: null, section: "default", route: null } as const;
  return { kind: "refuse", allowed: false, code: 0, reason: "no-route", by, listener };
}

/** Says which service was dialled where the client's own choice of address is followed. */
function withDialled(decision: OutboundDecision, { service }: Destination): OutboundDecision {
  if (decision.kind !== "forward" || service === undefined || decision.dialled !== undefined) return decision;
  const follows =
    decision.reason === "passthrough" ||
    decision.targets.some(({ cluster }) => cluster?.resolution === "original-destination");
  return follows ? { ...decision, dialled: service } : decision;
}
