/** What gateways and waypoints let through, and where they send it, after a change and not before, and the other way round. */
import type { Mesh } from "../../../model/mesh.ts";
import { decide } from "../../../policy/decide.ts";
import type { Semantics } from "../../../policy/inbound.ts";
import type { AccessRequest } from "../../../policy/path/access-request.ts";
import { meshDirectory } from "../../../policy/path/compiled-policies.ts";
import type { Decision } from "../../../policy/path/decision.ts";
import { AnalysisLimit } from "../../space/analysis-limit.ts";
import { describeRegion, type Saying } from "../../space/describe.ts";
import { type Diagram, NO } from "../../space/diagram.ts";
import { ABSENT, type Dimension, unverifiedCell } from "../../space/dimension.ts";
import { coverWithRegions, diagramOf, type Region } from "../../space/regions.ts";
import { type Point, type SampleRequest, sampleOf } from "../../space/request-space.ts";
import type { Cause } from "../causes.ts";
import { type ClientWeakening, compareWays } from "../client/ways.ts";
import { KnownCallers } from "../known-callers.ts";
import { isOfServers } from "../server-causes.ts";
import type { Passage } from "./passage.ts";
import type { ProxySide } from "./proxy-side.ts";
import { type ProxySpace, proxySpace } from "./proxy-space.ts";

/** What a change takes away that stood in the way before. */
export type ProxyWeakening =
  | "TLS is no longer required"
  | "a client certificate is no longer required"
  | "a token is no longer required"
  | "a token that does not verify is no longer refused"
  | "an external authorizer is no longer asked"
  | "no waypoint stands before it any more"
  | ClientWeakening;

export interface ProxyChange {
  readonly change: "widened" | "narrowed";
  readonly role: "gateway" | "waypoint";
  /** The gateway, `namespace/name`; or the service, or workload, that waypoints stand before. */
  readonly name: string;
  /** By whom and how, in words: what is not named is open. */
  readonly requests: readonly Saying[];
  /** Where such requests are now sent, and are no longer: `host:port`, or the host dialled. */
  readonly gained: readonly string[];
  readonly lost: readonly string[];
  /** Whether something that is gained lies outside of the mesh. */
  readonly leaves: boolean;
  readonly weakens: readonly ProxyWeakening[];
  /** `can` answers it differently before and after; not where it is held back. */
  readonly witness: AccessRequest;
  /** True where what lies before or behind the proxy refuses all that was tried of it, before and after. */
  readonly heldBack?: true;
  readonly causes: readonly Cause[];
}

export interface Compared {
  readonly role: ProxyChange["role"];
  readonly name: string;
  readonly meshes: readonly [before: Mesh, after: Mesh];
  readonly sides: readonly [before: ProxySide, after: ProxySide];
  readonly causes: readonly Cause[];
  readonly semantics: Semantics;
  /** Of the two, if only one is asked for. */
  readonly only?: ProxyChange["change"];
}

/** So many requests of one proxy are asked about. */
const MAX_ASKED = 40_000;
const MAX_REGIONS = 40;
/** So many requests of a region are tried for an example. */
const MAX_TRIED = 24;

interface Difference {
  readonly change: ProxyChange["change"];
  readonly gained: readonly string[];
  readonly lost: readonly string[];
  readonly leaves: boolean;
  readonly weakens: readonly ProxyWeakening[];
  /** An example has the authorizer refuse: before and after it is asked, or not. */
  readonly authorizer: "allow" | "deny" | null;
  /** Whether servers are asked otherwise, which no answer of `can` has to show. */
  readonly asksOtherwise: boolean;
}

interface Found {
  readonly difference: Difference;
  readonly points: Point[];
  set: Diagram;
}

/** @throws {AnalysisLimit} where it is not analysed. */
export async function compareProxies(compared: Compared): Promise<readonly ProxyChange[]> {
  const space = proxySpace(compared.sides);
  const found = await differencesIn(compared, space);
  const changes: ProxyChange[] = [];
  for (const { difference, set, points } of found) {
    if (compared.only !== undefined && difference.change !== compared.only) continue;
    const { regions, rest } = coverWithRegions(space.diagrams, set, space.requests, MAX_REGIONS);
    if (rest !== NO) throw new AnalysisLimit(`more than ${MAX_REGIONS} regions ${difference.change}`);
    for (const region of regions) changes.push(await changeOf(compared, space, difference, region, points));
  }
  return changes;
}

async function differencesIn(compared: Compared, space: ProxySpace): Promise<readonly Found[]> {
  const { dimensions, ofConnection, ofRequest } = space;
  const comparison = new Comparison(compared, space);
  const sizes = dimensions.map(({ size }) => size);
  for (const connection of pointsOver(
    sizes.map(() => 0),
    ofConnection,
    sizes,
  )) {
    const sample = sampleOf(dimensions, connection);
    const takers = compared.sides.map((side) => side.takes(sample));
    if (takers.every((taker) => taker === "nothing")) continue;
    const tokens = new TokenMemory(dimensions);
    if (sample.protocol === "tcp" || !takers.includes("requests")) {
      await comparison.compare(connection, ofConnection, tokens);
      continue;
    }
    for (const point of pointsOver(connection, ofRequest, sizes))
      if (isRequest(dimensions, point))
        await comparison.compare(point, [...ofConnection, ...ofRequest], tokens);
  }
  return comparison.found();
}

class Comparison {
  readonly #compared: Compared;
  readonly #space: ProxySpace;
  readonly #found = new Map<string, Found>();
  #asked = 0;

  constructor(compared: Compared, space: ProxySpace) {
    this.#compared = compared;
    this.#space = space;
  }

  found(): readonly Found[] {
    return [...this.#found.values()];
  }

  async compare(point: Point, places: readonly number[], tokens: TokenMemory): Promise<void> {
    this.#asked += 1;
    if (this.#asked > MAX_ASKED)
      throw new AnalysisLimit(`its policies and routes tell more than ${MAX_ASKED} kinds of requests apart`);
    const { dimensions, diagrams } = this.#space;
    const sample = sampleOf(dimensions, point);
    const [old, now] = this.#compared.sides;
    const [before, after] = [await old.pass(dimensions, sample), await now.pass(dimensions, sample)];
    if (before.rank === 2) tokens.note(point);
    const isClear = sample.principal === null && sample.sni === "";
    const difference = differenceOf(this.#compared, before, after, isClear, tokens.neededOne(point));
    if (difference === undefined) return;
    const key = JSON.stringify(difference);
    const own = diagramOf(diagrams, new Map(places.map((at) => [at, new Set([point[at] ?? 0])])));
    const known = this.#found.get(key);
    if (known === undefined) this.#found.set(key, { difference, points: [point], set: own });
    else {
      known.points.push(point);
      known.set = diagrams.or(known.set, own);
    }
  }
}

/** Backwards, so that requests with a token come before those without: of these it is asked whether one was needed. */
function* pointsOver(from: Point, places: readonly number[], sizes: readonly number[]): Generator<Point> {
  const [place, ...others] = places;
  if (place === undefined) {
    yield from;
    return;
  }
  for (let cell = (sizes[place] ?? 0) - 1; cell >= 0; cell--) {
    const point = [...from];
    point[place] = cell;
    yield* pointsOver(point, others, sizes);
  }
}

/** Without a good token there is no claim. */
function isRequest(dimensions: readonly Dimension[], point: Point): boolean {
  const isWithout = dimensions.some(
    (dimension, at) => dimension.kind === "token" && [ABSENT, unverifiedCell(dimension)].includes(point[at]),
  );
  return (
    !isWithout ||
    dimensions.every(
      ({ id, kind }, at) =>
        !((kind === "field" || kind === "member") && id.startsWith("claim ")) || point[at] === ABSENT,
    )
  );
}

/** Which requests were let through with a token, whatever it says. */
class TokenMemory {
  readonly #dimensions: readonly Dimension[];
  readonly #token: number;
  readonly #known = new Set<string>();

  constructor(dimensions: readonly Dimension[]) {
    this.#dimensions = dimensions;
    this.#token = dimensions.findIndex(({ kind }) => kind === "token");
  }

  note(point: Point): void {
    if (this.#token >= 0 && point[this.#token] !== ABSENT) this.#known.add(this.#rest(point));
  }

  /** Whether it has none, and would have been let through with one. */
  neededOne(point: Point): boolean {
    return this.#token >= 0 && point[this.#token] === ABSENT && this.#known.has(this.#rest(point));
  }

  #rest(point: Point): string {
    const isOfToken = (at: number): boolean =>
      at === this.#token || this.#dimensions[at]?.id.startsWith("claim ") === true;
    return point.map((cell, at) => (isOfToken(at) ? "" : cell)).join();
  }
}

function differenceOf(
  { role, sides, causes, meshes }: Compared,
  before: Passage,
  after: Passage,
  isClear: boolean,
  neededToken: boolean,
): Difference | undefined {
  const ways = compareWays(before.ways, after.ways, { tlsFollows: isOfServers(causes), meshes });
  if (before.rank === after.rank && ways === undefined) return undefined;
  const { gained = [], lost = [], leaves = false } = ways ?? {};
  const isWider = after.rank > before.rank || gained.length + (ways?.weakens.length ?? 0) > 0;
  const weakens: ProxyWeakening[] = [...(ways?.weakens ?? [])];
  if (after.rank > before.rank) {
    if (before.rank === 1) weakens.push("an external authorizer is no longer asked");
    if (isClear && before.cause === "plaintext-to-tls-port") weakens.push("TLS is no longer required");
    if (before.cause === "no-client-certificate" && !isClear)
      weakens.push("a client certificate is no longer required");
    if (before.rank === 0 && neededToken) weakens.push("a token is no longer required");
    if (before.cause === "jwt-invalid") weakens.push("a token that does not verify is no longer refused");
    if (role === "waypoint" && sides[0].read.length > 0 && sides[1].read.length === 0)
      weakens.push("no waypoint stands before it any more");
  }
  const hangsOnAuthorizer = before.rank === 1 || after.rank === 1;
  const isBetweenTwo = before.rank + after.rank === 3;
  return {
    change: isWider ? "widened" : "narrowed",
    gained,
    lost,
    leaves,
    weakens,
    asksOtherwise: ways?.asksOtherwise === true,
    authorizer: hangsOnAuthorizer ? (isBetweenTwo ? "deny" : "allow") : null,
  };
}

async function changeOf(
  compared: Compared,
  space: ProxySpace,
  { authorizer, asksOtherwise, ...difference }: Difference,
  region: Region,
  points: readonly Point[],
): Promise<ProxyChange> {
  const { role, name, causes, sides, meshes } = compared;
  const isIn = (point: Point): boolean => [...region].every(([at, own]) => own.has(point[at] ?? 0));
  const callers = new KnownCallers(meshes);
  const samples = points
    .filter(isIn)
    .slice(0, 1000)
    .map((point) => callers.settle(space.dimensions, point));
  const requests = samples
    .flatMap((sample) => sides.flatMap((side) => side.witness(space.dimensions, sample)))
    .map((request) => (authorizer === null ? request : { ...request, extAuthz: authorizer }));
  const candidates = [...new Map(requests.map((request) => [JSON.stringify(request), request]))]
    .toSorted(([a], [b]) => unusual(a) - unusual(b))
    .slice(0, MAX_TRIED)
    .map(([, request]) => request);
  const flipping = await firstFlipping(compared, candidates, asksOtherwise);
  const witness = flipping ?? candidates[0] ?? nobodys(name, samples[0]);
  return {
    ...difference,
    role,
    name,
    requests: describeRegion(space.dimensions, region),
    witness,
    ...(flipping === undefined ? { heldBack: true } : {}),
    causes,
  };
}

/** The shortest is the easiest to read; most people begin with GET. */
function unusual(request: string): number {
  return request.length + (request.includes('"method":') && !request.includes('"method":"GET"') ? 20 : 0);
}

/** Where nobody of the mesh has the identity, or no address to dial is known. */
function nobodys(name: string, sample: SampleRequest | undefined): AccessRequest {
  const host = name.split(" ")[1] ?? name;
  return { from: { principal: sample?.principal ?? null }, to: { host, port: sample?.port ?? 80 } };
}

/** One that is let through both before and after, and arrives as another request, where none is refused on one side. */
async function firstFlipping(
  { meshes, semantics }: Compared,
  candidates: readonly AccessRequest[],
  asksOtherwise: boolean,
): Promise<AccessRequest | undefined> {
  let arriving: AccessRequest | undefined;
  for (const request of candidates) {
    const { workload } = request.from ?? {};
    const isThere = (mesh: Mesh): boolean =>
      workload === undefined || meshDirectory(mesh).workloads.has(workload);
    if (!meshes.every(isThere)) continue;
    const options = { semantics, compareModes: false };
    const [before, after] = [
      await decide(meshes[0], request, options),
      await decide(meshes[1], request, options),
    ];
    if (before.allowed !== after.allowed) return request;
    const sentTo = ({ hops, others = [] }: Decision): string =>
      JSON.stringify([hops.map(({ to, tls }) => [to, tls]), others.map(({ way }) => way)]);
    if (before.allowed && sentTo(before) !== sentTo(after)) return request;
    if (before.allowed && asksOtherwise) arriving ??= request;
  }
  return arriving;
}
