/**
 * Whom a gateway's own servers and policies let in, at each port that its pod listens on. Routes are not asked: what they lead to decides for itself.
 * PeerAuthentication has no say at a gateway's servers, which have TLS modes of their own: an identity is seen by ISTIO_MUTUAL alone.
 */
import type { Mesh, Workload } from "../../model/mesh.ts";
import type { AuthorizationSpec } from "../../policy/authorization-spec.ts";
import { gatewayApiOf } from "../../policy/gateway-api/convert.ts";
import type { InboundPolicy, Semantics } from "../../policy/inbound.ts";
import type { GatewayServer } from "../../policy/outbound/types.ts";
import { compiledPolicies } from "../../policy/path/compiled-policies.ts";
import type { MutualTlsMode } from "../../policy/peer-authentication.ts";
import type { Resource } from "../../resources/resource.ts";
import { serverFacts } from "../diff/server-facts.ts";
import { istioIngresses } from "../verify/istio-ingresses.ts";
import { type KnownIdentities, OPEN_TO_ALL, type PortCallers, serverCallers } from "./server-callers.ts";

export interface GatewayQuestion {
  readonly mesh: Mesh;
  readonly gateway: Workload;
  readonly semantics: Semantics;
  readonly known: KnownIdentities;
}

const NOBODY: Callers = { anonymous: false, everybody: false, named: new Set() };

type Callers = Omit<PortCallers, "port">;

/**
 * One for each port, whichever of its servers takes the caller. Nothing listens where no Gateway has a server.
 * @param written ports that the pods declare, or that Services lead to: open where istiod makes servers of Ingresses, which are not compiled.
 * @throws {AnalysisLimit} where nobody can tell.
 */
export function gatewayCallers(
  question: GatewayQuestion,
  written: readonly number[],
): readonly PortCallers[] {
  const { mesh, gateway, semantics } = question;
  const servesIngresses = istioIngresses(mesh).some(({ gateways }) => gateways.includes(gateway));
  const listeners = compiledPolicies(mesh, semantics).gateway(gateway).listeners;
  const served = listeners.map(({ port, servers }) => ({
    ...servers.map((server) => serverTakes(question, port, server)).reduce(either),
    port,
  }));
  if (!servesIngresses) return served;
  const open = new Set([...written, ...served.map(({ port }) => port)]);
  return [...open].map((port) => ({ ...OPEN_TO_ALL, port }));
}

function either(one: Callers, other: Callers): Callers {
  if (one.everybody && other.everybody)
    return {
      ...one,
      anonymous: one.anonymous || other.anonymous,
      named: one.named.intersection(other.named),
    };
  const [wide, narrow] = one.everybody ? [one, other] : [other, one];
  return {
    anonymous: one.anonymous || other.anonymous,
    everybody: wide.everybody,
    named: wide.everybody ? wide.named.difference(narrow.named) : wide.named.union(narrow.named),
  };
}

function serverTakes(question: GatewayQuestion, port: number, server: GatewayServer): Callers {
  const { mesh, gateway, semantics, known } = question;
  const policies = serverFacts(mesh, gateway).resources;
  const taken = asSidecar(server, policies);
  if (taken === undefined) return OPEN_TO_ALL;
  const { mode, protocol } = taken;
  const inbound: InboundPolicy = {
    ...compiledPolicies(mesh, semantics).inbound(gateway),
    gateway: null,
    ports: new Map([[port, protocol]]),
    transport: () => ({ mode, policy: null }),
    transportPorts: [],
    // Istio's gateways do not look at names: whom the mesh's roots have signed is taken.
    ...(semantics === "istio" ? { federated: known.trustDomains } : {}),
  };
  const names = mode === "DISABLE" ? ANY_NAME : serverNames(question, port, server);
  if (names.length === 0) return NOBODY;
  const within = names.includes("*") ? undefined : { when: [{ key: SERVER_NAME, values: names }] };
  const [callers] = serverCallers({
    mesh,
    workload: gateway,
    server: inbound,
    ports: [port],
    policies,
    known,
    ...(within === undefined ? {} : { within }),
  });
  if (callers === undefined) return OPEN_TO_ALL;
  // Only the mesh's own TLS shows who calls.
  return mode === "STRICT" ? callers : { anonymous: callers.anonymous, everybody: false, named: new Set() };
}

interface Taken {
  readonly mode: MutualTlsMode;
  readonly protocol: "http" | "tcp";
}

/** The sidecar's port that treats what it takes as this server does; undefined where there is none: then it counts as open. */
function asSidecar({ tls, protocol }: GatewayServer, policies: readonly Resource[]): Taken | undefined {
  switch (tls?.mode) {
    case undefined:
      return { mode: "DISABLE", protocol: protocol === "http" ? "http" : "tcp" };
    case "ISTIO_MUTUAL":
      return { mode: "STRICT", protocol: protocol === "https" ? "http" : "tcp" };
    case "PASSTHROUGH":
    case "AUTO_PASSTHROUGH":
      // TLS that nobody ends: no identity, but a server name.
      return { mode: "PERMISSIVE", protocol: "tcp" };
    case "SIMPLE":
      if (protocol !== "https") return { mode: "PERMISSIVE", protocol: "tcp" };
      // A sidecar sees no server name of HTTP without an identity.
      return policies.some(asksServerName) ? undefined : { mode: "DISABLE", protocol: "http" };
    default:
      // Whom the credential's CA has signed a certificate for, no file tells.
      return undefined;
  }
}

const SERVER_NAME = "connection.sni";

function asksServerName({ kind, spec }: Resource): boolean {
  const { rules = [] } = (spec ?? {}) as AuthorizationSpec;
  return (
    kind === "AuthorizationPolicy" &&
    rules.some(({ when = [] }) => when.some(({ key }) => key === SERVER_NAME))
  );
}

const ANY_NAME: readonly string[] = ["*"];
/** A name that no route has. */
const SOME_NAME = "name.invalid";

/** By which it is chosen: of its hosts; of what passes through, as far as routes lead on. */
function serverNames(
  { mesh, gateway, semantics }: GatewayQuestion,
  port: number,
  { tls, hosts, gateway: name, index }: GatewayServer,
): readonly string[] {
  if (tls?.mode === "AUTO_PASSTHROUGH") return ANY_NAME;
  if (tls?.mode !== "PASSTHROUGH") return hosts;
  const routes = compiledPolicies(mesh, semantics).gateway(gateway);
  const isChosen = (sni: string): boolean => {
    const chosen = routes.selectServer(port, sni);
    return chosen?.gateway === name && chosen.index === index;
  };
  if (isChosen(SOME_NAME)) return ANY_NAME;
  return routedNames(mesh).filter((own) => isChosen(own.replace(/^\*/, "x")));
}

interface RouteShape {
  readonly tls?: readonly { readonly match?: readonly { readonly sniHosts?: readonly string[] }[] }[];
}

function routedNames(mesh: Mesh): readonly string[] {
  const routes: readonly Resource[] = [...mesh.virtualServices, ...gatewayApiOf(mesh).virtualServices];
  const names = routes.flatMap(({ spec }) =>
    ((spec ?? {}) as RouteShape).tls?.flatMap(({ match = [] }) =>
      match.flatMap(({ sniHosts = [] }) => sniHosts),
    ),
  );
  return [...new Set(names.flatMap((name) => name?.toLowerCase() ?? []))];
}
