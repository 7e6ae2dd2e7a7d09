/**
 * Which identities a server's policies let something through for, at each of its ports: what an attacker's keys are worth there. Tokens of
 * users and external authorizers' words count as had: the worst case.
 */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { inboundBypass } from "../../model/traffic-capture.ts";
import { decideAmbient } from "../../policy/ambient/ambient-policy.ts";
import { type CompiledRule, compileRule } from "../../policy/authorization-rule.ts";
import type { AuthorizationSpec, RuleSpec, SourceSpec } from "../../policy/authorization-spec.ts";
import { chainOf, decideConnection, decideRequest, type InboundPolicy } from "../../policy/inbound.ts";
import { representativeRequests } from "../../policy/path/representative-requests.ts";
import type { Resource } from "../../resources/resource.ts";
import { AnalysisLimit } from "../space/analysis-limit.ts";
import { NO } from "../space/diagram.ts";
import { ABSENT } from "../space/dimension.ts";
import { connectionOf, requestOf, type SampleRequest } from "../space/request-space.ts";
import { type AnalysedServer, type RequestRules, ServerSpace } from "../space/server-space.ts";

/** At one port. Identities without `spiffe://`. */
export interface PortCallers {
  readonly port: number;
  /** Who shows no identity. */
  readonly anonymous: boolean;
  /** Every identity but those in `named`; else those in `named` alone. */
  readonly everybody: boolean;
  readonly named: ReadonlySet<string>;
}

/** The identities that there are, found by what policies name. */
export class KnownIdentities {
  readonly all: ReadonlySet<string>;
  readonly #byNamespace = new Map<string, string[]>();

  constructor(principals: Iterable<string>) {
    this.all = new Set(principals);
    for (const principal of this.all) {
      const [, namespace] = /\/ns\/([^/]+)\/sa\//.exec(principal) ?? [];
      if (namespace === undefined) continue;
      const list = this.#byNamespace.get(namespace);
      if (list === undefined) this.#byNamespace.set(namespace, [principal]);
      else list.push(principal);
    }
  }

  get trustDomains(): readonly string[] {
    return [...new Set([...this.all].map((principal) => principal.slice(0, principal.indexOf("/"))))];
  }

  inNamespace(namespace: string): readonly string[] {
    return this.#byNamespace.get(namespace) ?? [];
  }
}

/** What is asked about: a server, its ports, and the policies that hold for it. */
export interface CallersQuestion {
  readonly mesh: Mesh;
  readonly workload: Workload;
  readonly server: AnalysedServer;
  readonly ports: readonly number[];
  readonly policies: readonly Resource[];
  readonly known: KnownIdentities;
  /** Only of requests that match this; absent: of all. */
  readonly within?: RuleSpec;
}

/** Where policies could not be analysed, or there are none: everybody, with an identity or without. */
export const OPEN_TO_ALL: Omit<PortCallers, "port"> = { anonymous: true, everybody: true, named: new Set() };

/**
 * Exact. Where all policies only allow, and name their callers, the decision itself is asked about each of those, with a request for each operation that is
 * named; the algebra where that does not tell.
 * @throws {AnalysisLimit} where nobody can tell.
 */
export function serverCallers(question: CallersQuestion): readonly PortCallers[] {
  return callersByAsking(question) ?? callersByAlgebra(question);
}

/** Undefined: it takes more than asking. A hundred times cheaper than the algebra where every workload has policies of its own. */
export function callersByAsking(question: CallersQuestion): readonly PortCallers[] | undefined {
  const rules = allowRules(question.policies);
  if (rules === undefined) return undefined;
  const found: PortCallers[] = [];
  for (const port of question.ports) {
    const asks = asking(question, port);
    if (rules.length === 0) {
      const everybody = asks(SOMEBODY(question.mesh));
      found.push({ port, anonymous: asks(null), everybody, named: NOBODY });
      continue;
    }
    if (!("ambient" in question.server) && isUncaptured(question.server, port)) {
      found.push({ port, anonymous: true, everybody: true, named: NOBODY });
      continue;
    }
    const named = new Set<string>();
    for (const { rule, namespace } of rules) {
      if (!isAbout(rule, port)) continue;
      const callers = callersOf(rule, namespace, question);
      if (callers === undefined) return undefined;
      for (const caller of callers) {
        if (named.has(caller)) continue;
        if (asks(caller)) named.add(caller);
        // The rule may be about bytes that none of the requests is, or about nothing at all: the algebra knows. A ztunnel sees no requests.
        else if (!("ambient" in question.server)) return undefined;
      }
    }
    found.push({ port, anonymous: false, everybody: false, named });
  }
  return found;
}

/** Whether one of the requests is let through for somebody. What was let through for the last is asked first: callers of one rule are many. */
function asking(question: CallersQuestion, port: number): (principal: string | null) => boolean {
  const requests = [...samplesFor(question, port)];
  return (principal) => {
    const hit = requests.findIndex((sample) => takes(question.server, { ...sample, principal }));
    const [found] = hit > 0 ? requests.splice(hit, 1) : [];
    if (found !== undefined) requests.unshift(found);
    return hit >= 0;
  };
}

const NOBODY: ReadonlySet<string> = new Set();

/** Where no policy tells identities apart, any will do. */
function SOMEBODY({ config }: Mesh): string {
  return `${config.trustDomain}/ns/default/sa/default`;
}

interface AllowRule {
  readonly rule: RuleSpec;
  readonly namespace: string;
}

/** The rules that allow; undefined where anything else has a say. None: everything is open. */
function allowRules(policies: readonly Resource[]): readonly AllowRule[] | undefined {
  const rules: AllowRule[] = [];
  let isClosed = false;
  for (const { kind, spec, namespace, annotations } of policies) {
    if (kind === "PeerAuthentication") continue;
    const own = (spec ?? {}) as AuthorizationSpec;
    const isPlain = kind === "AuthorizationPolicy" && (own.action ?? "ALLOW") === "ALLOW";
    if (!isPlain || annotations["istio.io/dry-run"] !== undefined) return undefined;
    isClosed = true;
    for (const rule of own.rules ?? []) {
      if ((rule.when ?? []).length > 0) return undefined;
      rules.push({ rule, namespace });
    }
  }
  // An ALLOW policy without rules closes everything, which is not the same as none.
  return isClosed && rules.length === 0 ? undefined : rules;
}

/** Whether some operation of the rule may be for the port. */
function isAbout({ to = [] }: RuleSpec, port: number): boolean {
  return (
    to.length === 0 ||
    to.some(({ operation: { ports = [], notPorts = [] } = {} }) => {
      return (ports.length === 0 || ports.includes(String(port))) && !notPorts.includes(String(port));
    })
  );
}

const NAMING: ReadonlySet<string> = new Set(["principals", "namespaces", "serviceAccounts"]);

/** Identities of which one may match; undefined where the rule does not name them one by one, or by their namespaces. */
function callersOf(
  { from = [] }: RuleSpec,
  policyNamespace: string,
  { known, mesh }: CallersQuestion,
): readonly string[] | undefined {
  if (from.length === 0 || mesh.config.trustDomainAliases.length > 0) return undefined;
  const found: string[] = [];
  for (const { source = {} } of from) {
    const own = callersOfSource(source, policyNamespace, known, mesh);
    if (own === undefined) return undefined;
    found.push(...own);
  }
  return found;
}

function callersOfSource(
  source: SourceSpec,
  policyNamespace: string,
  known: KnownIdentities,
  { config }: Mesh,
): readonly string[] | undefined {
  const fields = Object.entries(source).filter(([, values]) => Array.isArray(values) && values.length > 0);
  const [only] = fields;
  if (only === undefined || fields.length > 1 || !NAMING.has(only[0])) return undefined;
  const values = only[1] as readonly string[];
  if (values.some((value) => value.includes("*"))) return undefined;
  if (only[0] === "namespaces") return values.flatMap((namespace) => known.inNamespace(namespace));
  const principals =
    only[0] === "principals"
      ? values
      : values.map((value) => {
          const [first = "", second] = value.split("/");
          const [namespace, account] = second === undefined ? [policyNamespace, first] : [first, second];
          return `${config.trustDomain}/ns/${namespace}/sa/${account}`;
        });
  return principals.filter((principal) => known.all.has(principal));
}

/** A request for each operation that policies name, and bytes. */
function samplesFor({ mesh, workload }: CallersQuestion, port: number): readonly SampleRequest[] {
  const http = representativeRequests(mesh, workload, port, true).map(
    ({ method = "GET", path = "/", host = "host.example", headers = [] }): SampleRequest => ({
      ...BYTES,
      protocol: "http",
      port,
      method,
      path,
      host,
      headers: headers.flat(),
    }),
  );
  return [...http, { ...BYTES, port }];
}

/** From no address: none of the rules that are asked about looks at one. */
const BYTES: SampleRequest = {
  protocol: "tcp",
  port: 0,
  principal: null,
  sourceIp: "",
  remoteIp: null,
  destinationIp: "",
  sni: "",
  method: "GET",
  host: "host.example",
  path: "/",
  headers: [],
  claims: null,
};

function takes(server: AnalysedServer, sample: SampleRequest): boolean {
  const connection = connectionOf(sample);
  if ("ambient" in server) return decideAmbient(server.ambient, connection).allowed;
  if (server.unprotected || isUncaptured(server, sample.port)) return true;
  if (!decideConnection(server, connection).allowed) return false;
  if (chainOf(server, connection).protocol !== "http") return true;
  const request = requestOf(sample, server.pathNormalization);
  return request !== null && decideRequest(server, connection, request).allowed;
}

function isUncaptured(
  { semantics, workload }: Exclude<AnalysedServer, { ambient: unknown }>,
  port: number,
): boolean {
  return semantics === "istio" && inboundBypass(workload.capture, port) !== undefined;
}

/** @throws {AnalysisLimit} */
export function callersByAlgebra({ server, ports, known, within }: CallersQuestion): readonly PortCallers[] {
  const asked = within === undefined || "ambient" in server ? undefined : requestsOf(within, server);
  const space = new ServerSpace([server], asked === undefined ? [] : [asked]);
  const { diagrams } = space;
  const all = space.outcomes(server);
  const outcomes = asked === undefined ? all : space.restrict(all, space.matching(asked));
  const place = space.placeOf("identity");
  const dimension = place === undefined ? undefined : space.dimensions[place];
  if (place === undefined || dimension?.kind !== "identity") throw new AnalysisLimit("no identities");
  return ports.map((port) => {
    const here = space.restrict(outcomes, space.toPort(port));
    const isLet = (cell: number): boolean => diagrams.given(here, place, cell) !== NO;
    const letCells = new Set(dimension.texts.cells.flatMap((_, at) => (isLet(at + 1) ? [at + 1] : [])));
    const general = dimension.texts.cells.flatMap(({ only }, at) => (only === undefined ? [at + 1] : []));
    // What no pattern tells apart needs no look at each identity.
    const everybody = general.length > 0 && general.every((cell) => letCells.has(cell));
    const isUniform = everybody || general.every((cell) => !letCells.has(cell));
    const candidates = isUniform
      ? dimension.texts.cells.flatMap(({ only }) => (only === undefined ? [] : [withoutScheme(only)]))
      : [...known.all];
    const named = candidates.filter((principal) => {
      const cell = dimension.texts.cellOf(`spiffe://${principal}`);
      return cell !== undefined && letCells.has(cell + 1) !== everybody;
    });
    return { port, anonymous: isLet(ABSENT), everybody, named: new Set(named) };
  });
}

/** @throws {AnalysisLimit} where the rule says nothing that can be matched. */
function requestsOf(
  rule: RuleSpec,
  { semantics, trustDomains, federated, forwardedFor }: InboundPolicy,
): RequestRules {
  const context = {
    semantics,
    trustDomains,
    federated,
    forwardedFor,
    action: "ALLOW",
    policyNamespace: "",
  } as const;
  const compile = (http: boolean): readonly CompiledRule[] => {
    const compiled = compileRule(rule, { namespace: "", name: "asked" }, 0, { ...context, http });
    return compiled === null ? [] : [compiled];
  };
  return { http: compile(true), tcp: compile(false), trustDomains };
}

function withoutScheme(id: string): string {
  return id.slice("spiffe://".length);
}
