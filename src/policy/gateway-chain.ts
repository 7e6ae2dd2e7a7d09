/** Which server of a gateway takes a connection: the one that routing chooses, as identity and authorization see it. */
import type { Mesh, Workload } from "../model/mesh.ts";
import type { FilterChain, FirstBytes } from "./filter-chain.ts";
import { compileGateway } from "./outbound/compile-gateway.ts";
import type { GatewayPolicy, GatewayServer } from "./outbound/types.ts";
import { serviceTargets } from "./port-protocol.ts";
import type { Verdict } from "./verdict.ts";
import { NO_CHAIN, NO_LISTENER, PLAINTEXT_TO_TLS_PORT, TLS_TO_PLAINTEXT_PORT } from "./verdict-catalogue.ts";

interface KubernetesListener {
  readonly port?: number;
  readonly protocol?: string;
  readonly hostname?: string;
  readonly tls?: { readonly mode?: string };
}

/** One listener of a Kubernetes Gateway, and for which server names. */
interface ListenerChain {
  readonly chain: FilterChain;
  /** Server names that it takes, in lower case, `*` for any. */
  readonly hosts: readonly string[];
}

/** The servers of a gateway, by the port that its pod listens on. */
export interface GatewayChains {
  /** INVARIANT: routing's own choice, so that what is authorized is what is forwarded. */
  readonly selectServer: GatewayPolicy["selectServer"];
  readonly ports: ReadonlySet<number>;
  /** Of Kubernetes Gateways, whose routes are not compiled: only identity and authorization are known. */
  readonly listeners: ReadonlyMap<number, readonly ListenerChain[]>;
}

function refusal(verdict: Verdict): FilterChain {
  return Object.freeze({ tls: "none", protocol: "tcp", inspectsTls: true, refusal: verdict });
}

const CLOSED = refusal(NO_LISTENER);
const NO_SERVER = refusal(NO_CHAIN);
const NOT_TLS = refusal(PLAINTEXT_TO_TLS_PORT);
const UNEXPECTED_TLS = refusal(TLS_TO_PLAINTEXT_PORT);

function accepting(
  tls: FilterChain["tls"],
  protocol: FilterChain["protocol"],
  inspectsTls: boolean,
): FilterChain {
  return Object.freeze({ tls, protocol, inspectsTls, refusal: null });
}

const PLAIN_HTTP = accepting("none", "http", true);
const PLAIN_TCP = accepting("none", "tcp", true);
/** Opaque TCP servers take TLS as bytes; HTTP ones cannot read it. */
const UNSEEN_TLS = accepting("pass", "tcp", false);
const PASSED = accepting("pass", "tcp", true);
const MUTUAL_HTTP = accepting("terminate", "http", true);
const MUTUAL_TCP = accepting("terminate", "tcp", true);
const SIMPLE_HTTP = accepting("terminate-simple", "http", true);
const SIMPLE_TCP = accepting("terminate-simple", "tcp", true);

/** @param sni in lower case; empty for none. */
export function gatewayChain(
  chains: GatewayChains,
  port: number,
  first: FirstBytes,
  sni: string,
): FilterChain {
  const listeners = chains.listeners.get(port);
  if (listeners !== undefined) return listenerChain(listeners, first, sni);
  if (!chains.ports.has(port)) return CLOSED;
  const server = chains.selectServer(port, first.tls && sni !== "" ? sni : undefined);
  if (server === undefined) return first.tls ? NO_SERVER : NOT_TLS;
  return first.tls ? tlsChain(server) : plainChain(server);
}

function plainChain({ tls, protocol }: GatewayServer): FilterChain {
  if (protocol === "http") return PLAIN_HTTP;
  return tls === undefined ? PLAIN_TCP : NOT_TLS;
}

function tlsChain({ tls, protocol }: GatewayServer): FilterChain {
  if (protocol === "http") return UNEXPECTED_TLS;
  switch (tls?.mode) {
    case undefined:
      return UNSEEN_TLS;
    case "PASSTHROUGH":
    case "AUTO_PASSTHROUGH":
      return PASSED;
    case "ISTIO_MUTUAL":
      return protocol === "https" ? MUTUAL_HTTP : MUTUAL_TCP;
    default:
      return protocol === "https" ? SIMPLE_HTTP : SIMPLE_TCP;
  }
}

export function compileGatewayChains(mesh: Mesh, gateway: Workload): GatewayChains {
  const { listeners: routed, selectServer } = compileGateway(mesh, gateway);
  return {
    selectServer,
    ports: new Set(routed.map(({ port }) => port)),
    listeners: compileListeners(mesh, gateway),
  };
}

function listenerChain(listeners: readonly ListenerChain[], first: FirstBytes, sni: string): FilterChain {
  let best: ListenerChain | null = null;
  let bestLength = -1;
  for (const listener of listeners) {
    const length = first.tls ? longestHost(listener.hosts, sni) : 0;
    const fits = (listener.chain.tls === "none") === !first.tls;
    if (fits && length > bestLength) {
      best = listener;
      bestLength = length;
    }
  }
  if (best !== null) return best.chain;
  if (!first.tls) return NOT_TLS;
  if (listeners.some(({ chain }) => chain.tls !== "none")) return NO_SERVER;
  return listeners.some(({ chain }) => chain.protocol === "tcp") ? UNSEEN_TLS : UNEXPECTED_TLS;
}

/** Length of the most specific host that covers the name, an exact one above all; -1 for none. */
function longestHost(hosts: readonly string[], sni: string): number {
  let longest = -1;
  for (const host of hosts) {
    if (host === sni && host !== "") return Number.POSITIVE_INFINITY;
    const covers = host === "*" || (host.startsWith("*.") && sni.endsWith(host.slice(1)));
    if (covers && host.length > longest) longest = host.length;
  }
  return longest;
}

function compileListeners(mesh: Mesh, gateway: Workload): ReadonlyMap<number, readonly ListenerChain[]> {
  const chains = new Map<number, ListenerChain[]>();
  for (const { port, protocol = "", hostname = "*", tls } of kubernetesListeners(mesh, gateway)) {
    if (port === undefined) continue;
    const listener = {
      hosts: [hostname.toLowerCase()],
      chain: kubernetesChain(protocol.toUpperCase(), tls?.mode),
    };
    for (const target of podPorts(mesh, gateway, port))
      chains.set(target, [...(chains.get(target) ?? []), listener]);
  }
  return chains;
}

/** A listener's port is a port of the gateway's Service; where no Service has it, the pod's own. */
function podPorts(mesh: Mesh, gateway: Workload, port: number): readonly number[] {
  const targets = serviceTargets(mesh, gateway)
    .filter((candidate) => candidate.port.port === port)
    .map((candidate) => candidate.target);
  return targets.length === 0 ? [port] : [...new Set(targets)];
}

function kubernetesListeners(mesh: Mesh, gateway: Workload): readonly KubernetesListener[] {
  const name = gateway.labels["gateway.networking.k8s.io/gateway-name"];
  if (name === undefined) return [];
  const resource = mesh.resources.find(
    (candidate) =>
      candidate.kind === "Gateway" &&
      candidate.apiVersion.startsWith("gateway.networking.k8s.io/") &&
      candidate.name === name &&
      candidate.namespace === gateway.namespace,
  );
  return ((resource?.spec ?? {}) as { listeners?: readonly KubernetesListener[] }).listeners ?? [];
}

function kubernetesChain(protocol: string, mode: string | undefined): FilterChain {
  if (protocol === "TLS") return mode === "Passthrough" ? PASSED : SIMPLE_TCP;
  if (protocol === "HTTPS") return SIMPLE_HTTP;
  return protocol === "TCP" ? PLAIN_TCP : PLAIN_HTTP;
}
