/** What servers let through, as functions over the space of all requests. */
import { inboundBypass } from "../../model/traffic-capture.ts";
import type { Authorization } from "../../policy/authorization.ts";
import type { CompiledRule } from "../../policy/authorization-rule.ts";
import { CAPTURE_PORT, chainOf, type InboundPolicy, refuseTransport } from "../../policy/inbound.ts";
import { parseIpAddress } from "../../policy/ip-address.ts";
import { isAudienceAllowed } from "../../policy/jwt/audience.ts";
import type { JwtLocations, JwtPolicy } from "../../policy/jwt/jwt-policy.ts";
import { ambientOutcomes } from "./ambient-outcomes.ts";
import { type AmbientServer, addAmbientAtoms, ZTUNNEL_PORTS } from "./ambient-server.ts";
import { AnalysisLimit } from "./analysis-limit.ts";
import { claim } from "./aspect.ts";
import { Atoms } from "./atoms.ts";
import { buildDimensions } from "./build-dimensions.ts";
import { AND, type Diagram, Diagrams, ELSE, NO, type Operation, OR, type Outcome, YES } from "./diagram.ts";
import { ABSENT, type Dimension, HTTP, TCP, unverifiedCell } from "./dimension.ts";
import { addAtoms, addQuestions, PREFLIGHT_METHOD, refuseTokenHeaders } from "./policy-atoms.ts";
import { connectionOf, type Point, sampleOf } from "./request-space.ts";
import { RuleDiagrams, withCells } from "./rule-diagrams.ts";

/** Outcome of a request about which an external authorizer is asked: who allows it says no policy. */
export const ASKS: Outcome = 2;

/** Rules that no server enforces: a set of requests that somebody asks about. Both lists may be of the same rules, compiled apart. */
export interface RequestRules {
  readonly http: readonly CompiledRule[];
  readonly tcp: readonly CompiledRule[];
  readonly trustDomains: readonly string[];
}

/** Behind a sidecar or without a proxy, or in ambient mode. */
export type AnalysedServer = InboundPolicy | AmbientServer;

/** Where one that verifies tokens finds a bad one, if another lets it pass; null where all do alike. */
function unverifiedTokens(servers: readonly AnalysedServer[]): JwtLocations | null {
  const verified = servers.flatMap((server) =>
    "ambient" in server || server.unprotected ? [] : (server.jwt?.rules[0] ?? []),
  );
  return verified.length === servers.length ? null : (verified[0]?.locations ?? null);
}

/** Its proxy refuses server names that are no DNS names, whatever policies say. */
function isStrict({ semantics }: InboundPolicy): boolean {
  return semantics === "strict";
}

/** The space in which some servers decide. Build one from all that are to be compared. */
export class ServerSpace {
  readonly dimensions: readonly Dimension[];
  readonly diagrams: Diagrams;
  /** The points that are requests at all: without a token there is no claim, and the like. */
  readonly requests: Diagram;
  readonly #at: ReadonlyMap<string, number>;
  readonly #rules: RuleDiagrams;
  /** Ports that no application has. */
  readonly #undialled: readonly number[];

  /**
   * @param questions what else is to be told apart, for {@link matching}.
   * @throws {AnalysisLimit} where policies or questions name what is not analysed.
   */
  constructor(servers: readonly AnalysedServer[], questions: readonly RequestRules[] = []) {
    const [first] = servers;
    if (first === undefined) throw new Error("BUG: a space of no servers");
    if (servers.some(({ pathNormalization }) => pathNormalization !== first.pathNormalization))
      throw new AnalysisLimit("paths are not normalised alike on both sides");
    const atoms = new Atoms();
    const policies = servers.filter((server): server is InboundPolicy => !("ambient" in server));
    const ambient = servers.filter((server) => "ambient" in server);
    for (const policy of policies) addAtoms(atoms, policy);
    for (const server of ambient) addAmbientAtoms(atoms, server);
    this.#undialled = [CAPTURE_PORT, ...(ambient.length > 0 ? ZTUNNEL_PORTS : [])];
    addQuestions(atoms, questions);
    for (const policy of policies) refuseTokenHeaders(atoms, policy);
    this.dimensions = buildDimensions(atoms, {
      pathNormalization: first.pathNormalization,
      issuers: [
        ...new Set(policies.flatMap(({ jwt }) => jwt?.rules.map(({ issuer }) => issuer) ?? [])),
      ].sort(),
      unverified: unverifiedTokens(servers),
      serverNames: policies.length > 0 && policies.every(isStrict) ? "dns" : "any",
    });
    this.diagrams = new Diagrams(
      this.dimensions.map(({ size }) => size),
      undefined,
      this.dimensions.map(({ title }) => title),
    );
    this.#at = new Map(this.dimensions.map(({ id }, at) => [id, at]));
    this.#rules = new RuleDiagrams(this.dimensions, this.#at, this.diagrams, first.pathNormalization);
    this.requests = this.#requests();
  }

  /** The place of a dimension in a point; undefined where no policy asks for it. */
  placeOf(id: string): number | undefined {
    return this.#at.get(id);
  }

  /** What the server does with every request: {@link NO}, {@link YES}, {@link ASKS}. Restricted to {@link requests}. */
  outcomes(server: AnalysedServer): Diagram {
    if (!("ambient" in server)) return this.#inboundOutcomes(server);
    const places = { port: this.#place("port"), identity: this.#place("identity") };
    const own = this.ofTrustDomains([server.ambient.trustDomain]);
    return this.restrict(
      ambientOutcomes(this.#rules, places, server.ambient),
      this.diagrams.and(own, this.requests),
    );
  }

  #inboundOutcomes(policy: InboundPolicy): Diagram {
    if (policy.unprotected) return this.requests;
    if (policy.gateway !== null)
      throw new AnalysisLimit("gateways' own listeners are not analysed as servers");
    const http =
      policy.jwt === null
        ? this.#withoutTokens(this.#decide(policy.http, HTTP, YES))
        : this.#decide(policy.http, HTTP, this.#jwt(policy.jwt));
    const tcp = this.#decide(policy.tcp, TCP, YES);
    const { diagrams } = this;
    const port = this.#place("port");
    const identity = this.#place("identity");
    const ports = this.dimensions[port];
    const byTrustDomain = this.#identitiesByTrustDomain();
    const transport = (protocol: number, at: number): Diagram => {
      const takers = new Map<Taker, number[]>();
      for (const [first = ABSENT, ...others] of byTrustDomain) {
        const taker = this.#takerOf(policy, { port: at, protocol, identity: first });
        if (taker === undefined) continue;
        takers.set(taker, [...(takers.get(taker) ?? []), first, ...others]);
      }
      return diagrams.all(
        ELSE,
        [...takers].map(([taker, cells]) =>
          this.#gate(identity, cells, taker === "http" ? http : this.#asSeen(tcp, taker)),
        ),
        NO,
      );
    };
    const byPort: Diagram[] = [];
    for (let at = 0; at < (ports?.size ?? 0); at++) {
      if (this.#isUncaptured(policy, at)) {
        byPort.push(diagrams.within(port, [at]));
        continue;
      }
      const byProtocol = [HTTP, TCP].map((protocol) =>
        this.#gate(this.#place("protocol"), [protocol], transport(protocol, at)),
      );
      byPort.push(this.#gate(port, [at], diagrams.all(ELSE, byProtocol, NO)));
    }
    return this.restrict(diagrams.all(ELSE, byPort, NO), this.requests);
  }

  /** The requests that some rule matches. */
  matching({ http, tcp }: RequestRules): Diagram {
    const place = this.#place("protocol");
    const { diagrams } = this;
    const matched = (rules: readonly CompiledRule[], protocol: number): Diagram =>
      this.#gate(
        place,
        [protocol],
        diagrams.all(
          OR,
          rules.map((rule) => this.#rules.of(rule, protocol)),
          NO,
        ),
      );
    return diagrams.and(diagrams.or(matched(http, HTTP), matched(tcp, TCP)), this.requests);
  }

  /** Requests without an identity, or with one of these trust domains: others have no certificate that a server takes. */
  ofTrustDomains(trustDomains: readonly string[]): Diagram {
    const place = this.#place("identity");
    const dimension = this.dimensions[place];
    const texts = dimension?.kind === "identity" ? dimension.texts.cells : [];
    const isOwn = (sample: string): boolean => trustDomains.includes(trustDomainOf(sample));
    const cells = texts.flatMap(({ sample }, cell) => (isOwn(sample) ? [cell + 1] : []));
    return this.diagrams.within(place, [ABSENT, ...cells]);
  }

  /** Requests that may be CORS preflights, which need no token where one is required; {@link NO} where none is. */
  preflights(policy: AnalysedServer): Diagram {
    if ("ambient" in policy) return NO;
    const { jwt } = policy;
    const place = this.#place("method");
    const method = this.dimensions[place];
    if (jwt === null || method?.kind !== "text" || !jwt.rules.some(({ required }) => required)) return NO;
    const cell = method.texts.cellOf(PREFLIGHT_METHOD);
    if (cell === undefined) return NO;
    const rules = jwt.rules.map((rule) => ({ ...rule, required: false }));
    const passed = this.outcomes({ ...policy, jwt: { ...jwt, rules } });
    return this.restrict(
      this.#gate(this.#place("token"), [ABSENT], passed),
      this.diagrams.within(place, [cell]),
    );
  }

  /** The outcomes within the set, and {@link NO} outside. */
  restrict(outcomes: Diagram, set: Diagram): Diagram {
    return this.diagrams.apply(WITHIN, outcomes, set);
  }

  /** The set of requests of this identity; `null`: without any. Undefined where no such identity can be. */
  from(principal: string | null): Diagram | undefined {
    const place = this.#place("identity");
    if (principal === null) return this.diagrams.within(place, [ABSENT]);
    const dimension = this.dimensions[place];
    const cell = dimension?.kind === "identity" ? dimension.texts.cellOf(`spiffe://${principal}`) : undefined;
    return cell === undefined ? undefined : this.diagrams.within(place, [cell + 1]);
  }

  /** The set of requests from this address. All, where no policy looks at addresses. */
  fromAddress(text: string): Diagram {
    const place = this.#at.get("source.ip");
    const dimension = place === undefined ? undefined : this.dimensions[place];
    const address = parseIpAddress(text);
    if (place === undefined || dimension?.kind !== "address" || address === undefined) return YES;
    const cell = dimension.addresses.cellOf(address);
    return cell === undefined ? NO : this.diagrams.within(place, [cell]);
  }

  /** The set of requests for this port of the workload. */
  toPort(number: number): Diagram {
    const place = this.#place("port");
    const dimension = this.dimensions[place];
    if (dimension?.kind !== "port") return NO;
    const cell = dimension.ports.indexOf(number);
    return this.diagrams.within(place, [cell < 0 ? dimension.size - 1 : cell]);
  }

  /** As {@link workloadAt} has it: no policy is enforced on such ports. */
  #isUncaptured({ semantics, workload }: InboundPolicy, cell: number): boolean {
    const dimension = this.dimensions[this.#place("port")];
    const port = dimension?.kind === "port" ? dimension.ports[cell] : undefined;
    if (semantics !== "istio" || port === undefined) return false;
    return inboundBypass(workload.capture, port) !== undefined;
  }

  #gate(place: number, cells: readonly number[], below: Diagram): Diagram {
    return this.restrict(below, this.diagrams.within(place, cells));
  }

  #place(id: string): number {
    const place = this.#at.get(id);
    if (place === undefined) throw new Error(`BUG: no dimension ${id}`);
    return place;
  }

  /** Who decides about such connections; undefined where nobody takes them, or what they speak is not what is expected. */
  #takerOf(
    policy: InboundPolicy,
    cells: { readonly port: number; readonly protocol: number; readonly identity: number },
  ): Taker | undefined {
    const point = this.#point(Object.entries(cells).map(([id, cell]) => [this.#place(id), cell]));
    const connection = connectionOf(sampleOf(this.dimensions, point));
    const chain = chainOf(policy, connection);
    if (refuseTransport(policy, connection, chain) !== null) return undefined;
    if (chain.protocol === "http") return cells.protocol === HTTP ? "http" : undefined;
    // Without an identity, but with a server name, it is TLS that shows no certificate of the mesh.
    const tls =
      cells.identity === ABSENT && cells.protocol === TCP
        ? policy.transport(connection.destinationPort)
        : null;
    if (tls?.mode === "DISABLE") return "opaque";
    if (chain.tls !== "pass") return "tcp";
    return chain.inspectsTls ? "anonymous" : "opaque";
  }

  /** Cells of identities, {@link ABSENT} apart. Who takes a connection asks of an identity for its trust domain alone. */
  #identitiesByTrustDomain(): readonly (readonly number[])[] {
    const dimension = this.dimensions[this.#place("identity")];
    const groups = new Map<string, number[]>([["", [ABSENT]]]);
    for (const [at, { sample }] of (dimension?.kind === "identity" ? dimension.texts.cells : []).entries()) {
      const trustDomain = trustDomainOf(sample);
      const known = groups.get(trustDomain);
      if (known === undefined) groups.set(trustDomain, [at + 1]);
      else known.push(at + 1);
    }
    return [...groups.values()];
  }

  /** TLS that goes through undecrypted shows no identity, and where nobody looks for TLS no server name. */
  #asSeen(outcomes: Diagram, taker: Exclude<Taker, "http">): Diagram {
    if (taker === "tcp") return outcomes;
    const anonymous = this.diagrams.given(outcomes, this.#place("identity"), ABSENT);
    const sni = taker === "opaque" ? this.#at.get("sni") : undefined;
    return sni === undefined ? anonymous : this.diagrams.given(anonymous, sni, this.#noServerName(sni));
  }

  #noServerName(place: number): number {
    const dimension = this.dimensions[place];
    return (dimension?.kind === "text" ? dimension.texts.cellOf("") : undefined) ?? 0;
  }

  /** CUSTOM, tokens, DENY, ALLOW. */
  #decide(authorization: Authorization, protocol: number, jwt: Diagram): Diagram {
    const { diagrams } = this;
    const { custom, broken, deny, allow } = authorization;
    const matched = (rules: readonly { readonly rule: CompiledRule }[]): Diagram =>
      diagrams.all(
        OR,
        rules.map(({ rule }) => this.#rules.of(rule, protocol)),
        NO,
      );
    const denied = diagrams.or(matched(deny?.rules ?? []), matched(broken?.rules ?? []));
    const allowed = allow === null ? YES : matched(allow.rules);
    const permitted = diagrams.and(diagrams.minus(allowed, denied), jwt);
    const asked = custom === null ? NO : diagrams.and(matched(custom.set.rules), permitted);
    return diagrams.apply(ASKED_OR, asked, permitted);
  }

  #point(cells: readonly (readonly [number, number])[]): Point {
    return withCells(
      this.dimensions.map(() => 0),
      cells,
    );
  }

  /** Who verifies no token takes no notice of any: no rule sees its claims. */
  #withoutTokens(decided: Diagram): Diagram {
    if (!this.#at.has("token")) return decided;
    return this.dimensions.reduce(
      (set, { kind, id }, at) =>
        kind === "token" || id.startsWith("claim ") ? this.diagrams.given(set, at, ABSENT) : set,
      decided,
    );
  }

  /** Where tokens are required, do not verify, or bring an audience that is not taken, nothing gets through. */
  #jwt(jwt: JwtPolicy): Diagram {
    const { diagrams } = this;
    const place = this.#place("token");
    const dimension = this.dimensions[place];
    const issuers = dimension?.kind === "token" ? dimension.issuers : [];
    const byIssuer = issuers.map((issuer, at) => {
      const rules = jwt.rules.filter((rule) => rule.issuer === issuer || rule.issuer === "");
      const audiences = rules.map((rule) => this.#audience(rule.audiences));
      return [at + 1, diagrams.all(OR, audiences, NO)] as const;
    });
    const without = jwt.rules.some(({ required }) => required) ? NO : YES;
    return diagrams.choose(place, NO, [[ABSENT, without], ...byIssuer]);
  }

  #audience(allowed: ReadonlySet<string>): Diagram {
    if (allowed.size === 0) return YES;
    const members = this.dimensions.flatMap((dimension, at) => {
      if (dimension.kind !== "member" || dimension.aspect.id !== claim("[aud]").id) return [];
      const text = dimension.texts.cells[dimension.cell]?.sample ?? "";
      return isAudienceAllowed(allowed, [text]) ? [this.diagrams.within(at, [1])] : [];
    });
    return this.diagrams.all(OR, [...members, isAudienceAllowed(allowed, []) ? this.#noAudience() : NO], NO);
  }

  #noAudience(): Diagram {
    const absent = this.dimensions.flatMap((dimension, at) =>
      dimension.kind === "member" && dimension.aspect.id === claim("[aud]").id
        ? [this.diagrams.within(at, [ABSENT])]
        : [],
    );
    return this.diagrams.all(AND, absent, YES);
  }

  /** Nobody dials the proxy's own port; a claim comes with a token; HTTP's parts with HTTP: on TCP only one value of each is a request, so that none counts twice. */
  #requests(): Diagram {
    const { diagrams } = this;
    const isClaim = ({ kind, id }: Dimension): boolean =>
      (kind === "field" || kind === "member") && id.startsWith("claim ");
    const claimless = diagrams.all(
      AND,
      this.dimensions.flatMap((dimension, at) => (isClaim(dimension) ? [diagrams.within(at, [ABSENT])] : [])),
      YES,
    );
    const token = this.#at.get("token");
    const without = token === undefined ? [] : [ABSENT, unverifiedCell(this.dimensions[token]) ?? ABSENT];
    const tokens =
      token === undefined
        ? claimless
        : diagrams.choose(
            token,
            YES,
            [...new Set(without)].map((cell) => [cell, claimless]),
          );
    const sni = this.#at.get("sni");
    const isNameless = sni === undefined ? YES : diagrams.within(sni, [this.#noServerName(sni)]);
    const named = diagrams.choose(this.#place("identity"), YES, [[ABSENT, isNameless]]);
    const isHttp = ({ kind, id }: Dimension): boolean =>
      ["member", "field", "token"].includes(kind) || ["method", "host", "path", "remote.ip"].includes(id);
    const tcp = diagrams.all(
      AND,
      this.dimensions.flatMap((dimension, at) => (isHttp(dimension) ? [diagrams.within(at, [0])] : [])),
      YES,
    );
    const undialled = this.#undialled.map((port) => this.toPort(port));
    const dialled = diagrams.not(diagrams.all(OR, undialled, NO));
    return diagrams.all(
      AND,
      [
        dialled,
        // TLS without an identity is never decrypted: to a server that is TCP, with a server name.
        diagrams.choose(this.#place("protocol"), tcp, [[HTTP, diagrams.and(tokens, named)]]),
      ],
      YES,
    );
  }
}

/** Of a SPIFFE ID with its scheme. */
function trustDomainOf(id: string): string {
  return id.split("/")[2] ?? "";
}

/** Who decides about a connection, and what of its TLS they see. */
type Taker = "http" | "tcp" | "anonymous" | "opaque";

const WITHIN: Operation = {
  name: "within",
  of: (outcome: Outcome, set: Outcome): Outcome => (set === NO ? NO : outcome),
  atOnce: (outcome: Diagram, set: Diagram): Diagram | undefined => {
    if (outcome === NO || set === NO) return NO;
    return set === YES ? outcome : undefined;
  },
};

const ASKED_OR: Operation = {
  name: "asked or",
  of: (asked: Outcome, allowed: Outcome): Outcome => (asked === NO ? allowed : ASKS),
};
