/**
 * Who judges a request in ambient mode, and how, slowly: from Istio's documents on waypoints and ztunnel, sharing nothing with the product but types and, for
 * layer 7, the other slow interpreter.
 */
import type { OperationSpec, RuleSpec, SourceSpec } from "../../../src/policy/authorization-spec.ts";
import { type ReferencePolicy, referenceAuthorization } from "./reference-decision.ts";

type Labels = Readonly<Record<string, string>>;

export interface Target {
  readonly kind: "Service" | "ServiceEntry" | "Gateway" | "GatewayClass";
  readonly name: string;
}

export interface WorldPolicy extends ReferencePolicy {
  /** What it is for; `selector` is that of the server's pod. */
  readonly holds: "everywhere" | "selector" | Target;
}

export interface WorldWaypoint {
  readonly traffic: "service" | "workload" | "all" | "none" | undefined;
  readonly from: "Same" | "All" | "m" | "other" | undefined;
}

/** A server m/s with a service s in namespace m, and waypoints wp in m and in w. */
export interface World {
  readonly namespaceLabels: Labels;
  readonly serviceLabels: Labels;
  readonly podLabels: Labels;
  readonly waypoints: Readonly<Record<"m" | "w", WorldWaypoint>>;
  readonly policies: readonly WorldPolicy[];
  readonly strictTransport: boolean;
}

export interface Question {
  readonly client: "ambient" | "sidecar" | "plain" | "gateway";
  readonly to: "service" | "pod";
  /** Of the service: 80 is HTTP, 9000 TCP. The pod's are 8080 and 9000. */
  readonly port: 80 | 9000;
  readonly protocol: "http" | "tcp";
  readonly method: string;
  readonly path: string;
}

export interface Outcome {
  readonly allowed: boolean;
  /** Who decided, and by which rule. */
  readonly hop: string;
  readonly policy: string | null;
  readonly rule: number | null;
}

const IDENTITIES = {
  ambient: "cluster.local/ns/m/sa/c",
  sidecar: "cluster.local/ns/k/sa/c",
  gateway: "cluster.local/ns/g/sa/g",
} as const;
export const ADDRESSES = {
  ambient: "10.1.0.1",
  sidecar: "10.2.0.1",
  plain: "10.2.0.2",
  gateway: "10.3.0.1",
} as const;
export const WAYPOINT_ADDRESSES = { m: "10.1.0.9", w: "10.1.0.10" } as const;
const SERVICE_ADDRESS = "10.96.0.1";
const POD_ADDRESS = "10.1.0.2";

export function referenceOutcome(world: World, question: Question): Outcome {
  const waypoint = waypointFor(world, question);
  const identity = question.client === "plain" ? null : IDENTITIES[question.client];
  if (waypoint === undefined) return atZtunnel(world, question, identity, ADDRESSES[question.client]);
  const own = atWaypoint(world, question, waypoint, identity ?? "");
  if (!own.allowed) return own;
  return atZtunnel(world, question, `cluster.local/ns/${waypoint}/sa/wp`, WAYPOINT_ADDRESSES[waypoint]);
}

/** The namespace of the waypoint that the client's traffic is led by. */
function waypointFor(world: World, { client, to }: Question): "m" | "w" | undefined {
  if (client === "sidecar" || client === "plain") return undefined;
  const { serviceLabels, podLabels, namespaceLabels } = world;
  if (client === "gateway") {
    const asked =
      serviceLabels["istio.io/ingress-use-waypoint"] ?? namespaceLabels["istio.io/ingress-use-waypoint"];
    if (asked !== "true") return undefined;
  }
  const named = [to === "service" ? serviceLabels : podLabels, namespaceLabels].find(
    (labels) => labels["istio.io/use-waypoint"] !== undefined,
  );
  if (named?.["istio.io/use-waypoint"] !== "wp") return undefined;
  const namespace = named["istio.io/use-waypoint-namespace"] === "w" ? "w" : "m";
  const { traffic = "service", from = "Same" } = world.waypoints[namespace];
  if (from === "other" || (from === "Same" && namespace !== "m")) return undefined;
  const wanted = to === "service" ? "service" : "workload";
  return traffic === wanted || traffic === "all" ? namespace : undefined;
}

function atWaypoint(
  { policies }: World,
  question: Question,
  namespace: "m" | "w",
  identity: string,
): Outcome {
  const held = policies.filter((policy) => isHeldBy(namespace, policy, question.to === "service"));
  const toService = question.to === "service";
  const declaredHttp = toService && question.port === 80;
  // The server's own address has any port, and its protocol is detected.
  const http = declaredHttp || (!toService && question.protocol === "http");
  const hop = `${namespace}/wp`;
  if (declaredHttp && question.protocol === "tcp") return { allowed: false, hop, policy: null, rule: null };
  const address = ADDRESSES[question.client];
  const { allowed, policy, rule } = referenceAuthorization(held, {
    http,
    subject: `spiffe://${identity}`,
    sourceIp: address,
    remoteIp: address,
    destinationIp: toService ? SERVICE_ADDRESS : POD_ADDRESS,
    port: toService ? question.port : containerPort(question),
    sni: "",
    method: question.method,
    path: question.path,
    host: "s",
    headers: [],
    claims: null,
    trustDomains: ["cluster.local"],
    strict: false,
  });
  return { allowed, hop, policy, rule };
}

function isHeldBy(waypoint: string, { holds, namespace }: WorldPolicy, byService: boolean): boolean {
  if (holds === "everywhere" || holds === "selector") return false;
  const { kind, name } = holds;
  if (kind === "Service") return byService && namespace === "m" && name === "s";
  if (kind === "Gateway") return namespace === waypoint && name === "wp";
  return kind === "GatewayClass" && namespace === "istio-system" && name === "istio-waypoint";
}

function containerPort({ port }: Question): number {
  return port === 80 ? 8080 : port;
}

function atZtunnel(
  { policies, strictTransport }: World,
  question: Question,
  identity: string | null,
  address: string,
): Outcome {
  const hop = "m/s";
  if (identity === null && strictTransport)
    return { allowed: false, hop, policy: "PeerAuthentication m/strict", rule: null };
  const facts: L4Facts = { identity, address, port: containerPort(question) };
  const sent = policies
    .filter(({ holds, namespace, dryRun }) => {
      if (dryRun) return false;
      if (holds === "selector") return namespace === "m" || namespace === "istio-system";
      return holds === "everywhere" && (namespace === "m" || namespace === "istio-system");
    })
    .toSorted((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1));
  const find = (action: "ALLOW" | "DENY"): { policy: string; rule: number } | undefined => {
    for (const { spec, namespace, name } of sent) {
      if ((spec.action ?? "ALLOW") !== action) continue;
      const rule = (spec.rules ?? []).findIndex((own) => matchesL4(own, action, facts));
      if (rule >= 0) return { policy: `AuthorizationPolicy ${namespace}/${name}`, rule };
    }
    return undefined;
  };
  const denied = find("DENY");
  if (denied !== undefined) return { allowed: false, hop, ...denied };
  if (!sent.some(({ spec }) => (spec.action ?? "ALLOW") === "ALLOW"))
    return { allowed: true, hop, policy: null, rule: null };
  const allowed = find("ALLOW");
  return allowed === undefined
    ? { allowed: false, hop, policy: null, rule: null }
    : { allowed: true, hop, ...allowed };
}

interface L4Facts {
  readonly identity: string | null;
  readonly address: string;
  readonly port: number;
}

/** A rule without its HTTP attributes: of an ALLOW none is left then, of a DENY an entry without anything left never matches. */
function matchesL4({ from = [], to = [] }: RuleSpec, action: "ALLOW" | "DENY", facts: L4Facts): boolean {
  const operations = to.map(({ operation = {} }) => operation);
  const asksHttp = operations.some(({ methods, paths }) => methods !== undefined || paths !== undefined);
  if (action === "ALLOW" && asksHttp) return false;
  const froms = from.map(({ source = {} }) => source);
  return (
    (froms.length === 0 || froms.some((source) => matchesSource(source, facts))) &&
    (operations.length === 0 || operations.some((operation) => matchesPort(operation, facts)))
  );
}

function matchesSource(source: SourceSpec, { identity, address }: L4Facts): boolean {
  const namespace = identity?.split("/")[2];
  const checks: boolean[] = [];
  const { principals, notPrincipals, namespaces, notNamespaces, ipBlocks, notIpBlocks } = source;
  if (principals !== undefined) checks.push(identity !== null && principals.includes(identity));
  if (notPrincipals !== undefined) checks.push(identity === null || !notPrincipals.includes(identity));
  if (namespaces !== undefined) checks.push(namespace !== undefined && namespaces.includes(namespace));
  if (notNamespaces !== undefined) checks.push(namespace === undefined || !notNamespaces.includes(namespace));
  if (ipBlocks !== undefined) checks.push(ipBlocks.includes(address));
  if (notIpBlocks !== undefined) checks.push(!notIpBlocks.includes(address));
  return checks.length > 0 && checks.every(Boolean);
}

function matchesPort({ ports, notPorts }: OperationSpec, { port }: L4Facts): boolean {
  if (ports === undefined && notPorts === undefined) return false;
  return (
    (ports === undefined || ports.includes(String(port))) &&
    (notPorts === undefined || !notPorts.includes(String(port)))
  );
}
