/** Divides what may come to a gateway or a waypoint by all that its policies, servers and routes tell apart. */
import type { InboundPolicy } from "../../../policy/inbound.ts";
import type { JwtLocations } from "../../../policy/jwt/jwt-policy.ts";
import { isWildcard } from "../../../policy/outbound/host-name.ts";
import type { HttpMatch, StringMatch } from "../../../policy/outbound/resource-shapes.ts";
import { isPresenceMatch } from "../../../policy/outbound/string-match.ts";
import { AnalysisLimit } from "../../space/analysis-limit.ts";
import { aspectsOf } from "../../space/aspect.ts";
import { Atoms } from "../../space/atoms.ts";
import { buildDimensions } from "../../space/build-dimensions.ts";
import { AND, type Diagram, Diagrams, YES } from "../../space/diagram.ts";
import { ABSENT, type Dimension, HTTP, unverifiedCell } from "../../space/dimension.ts";
import { addAtoms, PREFLIGHT_METHOD, refuseTokenHeaders } from "../../space/policy-atoms.ts";
import { any, literal, NOT_EMPTY, some, startingWith } from "../../space/text-language.ts";

/** What one proxy decides by, in one mesh. */
export interface ProxyQuestions {
  readonly policies: readonly InboundPolicy[];
  /** Ports at which it may take something. */
  readonly ports: Iterable<number>;
  /** Names by which its servers and routes choose, as resources write them. */
  readonly hosts: Iterable<string>;
  readonly matches: readonly HttpMatch[];
}

export interface ProxySpace {
  readonly dimensions: readonly Dimension[];
  readonly diagrams: Diagrams;
  /** The points that are requests at all. */
  readonly requests: Diagram;
  /** Places of what a connection has; of the others only HTTP's requests do. */
  readonly ofConnection: readonly number[];
  readonly ofRequest: readonly number[];
}

/** @throws {AnalysisLimit} where policies or routes ask for what is not followed. */
export function proxySpace(sides: readonly ProxyQuestions[]): ProxySpace {
  const atoms = new Atoms();
  const policies = sides.flatMap((side) => side.policies);
  for (const side of sides) addSide(atoms, side);
  for (const policy of policies) refuseTokenHeaders(atoms, policy);
  refuseClientAddresses(atoms, policies);
  const modes = new Set(policies.map(({ pathNormalization }) => pathNormalization));
  const [pathNormalization = "BASE"] = modes;
  if (modes.size > 1) throw new AnalysisLimit("paths are not normalised alike on both sides");
  const issuers = policies.flatMap(({ jwt }) => jwt?.rules.map(({ issuer }) => issuer) ?? []);
  const dimensions = buildDimensions(atoms, {
    pathNormalization,
    issuers: [...new Set(issuers)].sort(),
    unverified: unverifiedTokens(sides),
  });
  const diagrams = new Diagrams(
    dimensions.map(({ size }) => size),
    undefined,
    dimensions.map(({ title }) => title),
  );
  const places = dimensions.map((_, at) => at);
  const isConnection = (at: number): boolean => CONNECTION.has(dimensions[at]?.id ?? "");
  return {
    dimensions,
    diagrams,
    requests: requestsIn(dimensions, diagrams),
    ofConnection: places.filter(isConnection),
    ofRequest: places.filter((at) => !isConnection(at)),
  };
}

/** Where the one that verifies tokens finds a bad one, if the other takes no notice of it. */
function unverifiedTokens(sides: readonly ProxyQuestions[]): JwtLocations | null {
  const verified = sides.flatMap(
    ({ policies }) => policies.find(({ jwt }) => jwt !== null)?.jwt?.rules[0] ?? [],
  );
  return verified.length === sides.length ? null : (verified[0]?.locations ?? null);
}

const CONNECTION: ReadonlySet<string> = new Set([
  "port",
  "protocol",
  "identity",
  "sni",
  "source.ip",
  "destination.ip",
]);

function addSide(atoms: Atoms, { policies, ports, hosts, matches }: ProxyQuestions): void {
  for (const policy of policies) addAtoms(atoms, policy);
  for (const port of ports) atoms.ports.add(port);
  for (const aspect of aspectsOf("connection.sni")) atoms.aspects.set(aspect.id, aspect);
  atoms.addLanguage("sni", NOT_EMPTY);
  for (const host of hosts) addHost(atoms, host.toLowerCase());
  for (const match of matches) addMatch(atoms, match);
}

/** Routes look at the host without its port. */
function addHost(atoms: Atoms, host: string): void {
  if (host === "" || host === "*") return;
  for (const id of ["host", "sni"]) {
    atoms.addPattern(id, host);
    // A policy's star stands for nothing, too; that of a server or a route for a label at least.
    if (isWildcard(host)) atoms.addLanguage(id, { label: host, pieces: [some(), ...literal(host.slice(1))] });
  }
  const own = isWildcard(host) ? [any(), ...literal(host.slice(1))] : literal(host);
  const pieces = [...own, ...literal(":"), some({ but: false, text: "0123456789" })];
  atoms.addLanguage("host", { label: `${host}:*`, pieces });
}

function addMatch(atoms: Atoms, match: HttpMatch): void {
  const { uri, method, authority, scheme, headers, withoutHeaders, queryParams } = match;
  if (match.ignoreUriCase === true && uri !== undefined)
    throw new AnalysisLimit("a route looks at paths without their case");
  if (scheme !== undefined) throw new AnalysisLimit("a route looks at the scheme");
  if (Object.keys(queryParams ?? {}).length > 0) throw new AnalysisLimit("a route looks at query parameters");
  for (const [id, wanted] of Object.entries({ path: uri, method, host: authority }))
    if (wanted !== undefined) addText(atoms, id, wanted);
  for (const [name, wanted] of [...Object.entries(headers ?? {}), ...Object.entries(withoutHeaders ?? {})]) {
    const aspects = aspectsOf(`request.headers[${name}]`);
    for (const aspect of aspects) {
      atoms.aspects.set(aspect.id, aspect);
      addText(atoms, aspect.id, wanted);
    }
  }
}

function addText(atoms: Atoms, id: string, wanted: StringMatch): void {
  if (isPresenceMatch(wanted) || wanted.regex === ".*") return;
  const { exact, prefix, pathPrefix } = wanted;
  if (exact !== undefined) atoms.textsOf(id).exact.add(exact);
  else if (prefix !== undefined) atoms.addLanguage(id, startingWith(prefix));
  else if (pathPrefix !== undefined) {
    atoms.textsOf(id).exact.add(pathPrefix);
    atoms.addLanguage(id, startingWith(`${pathPrefix}/`));
  } else throw new AnalysisLimit("a route looks at texts by a regular expression");
}

/** How many entries a client writes before those that are believed is not asked. */
function refuseClientAddresses(atoms: Atoms, policies: readonly InboundPolicy[]): void {
  const isFarther = policies.some(({ forwardedFor }) => (forwardedFor?.entryFromRight ?? 0) > 0);
  if (isFarther && atoms.aspects.has("remote.ip"))
    throw new AnalysisLimit("client addresses behind several trusted proxies are not analysed");
  if (policies.some(({ jwt }) => jwt?.rules.some(({ required }) => required) === true))
    atoms.textsOf("method").exact.add(PREFLIGHT_METHOD);
}

/** Without a token there is no claim. */
function requestsIn(dimensions: readonly Dimension[], diagrams: Diagrams): Diagram {
  const token = dimensions.findIndex(({ kind }) => kind === "token");
  const claims = dimensions.flatMap(({ kind, id }, at) =>
    (kind === "field" || kind === "member") && id.startsWith("claim ") ? [diagrams.within(at, [ABSENT])] : [],
  );
  const claimless = diagrams.all(AND, claims, YES);
  if (token < 0) return claimless;
  const bad = unverifiedCell(dimensions[token]);
  const http = diagrams.choose(token, YES, [
    [ABSENT, claimless],
    ...(bad === undefined ? [] : [[bad, claimless] as const]),
  ]);
  const protocol = dimensions.findIndex(({ kind }) => kind === "protocol");
  return diagrams.choose(protocol, YES, [[HTTP, http]]);
}
