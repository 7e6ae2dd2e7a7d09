/** What the servers' side of workloads with equal policies lets through, by who asks and at which port. */

import { CAPTURE_PORT } from "../../policy/inbound.ts";
import {
  type AddressRange,
  addressRange,
  cidrRange,
  subtractRanges,
} from "../../policy/network/address-range.ts";
import {
  ALL_PORTS,
  intersectPorts,
  NO_PORTS,
  type PortSet,
  portRange,
  subtractPorts,
  unionPorts,
} from "../../policy/network/port-set.ts";
import { coverToJoin, joinAlternatives } from "../space/alternatives.ts";
import { ZTUNNEL_PORTS } from "../space/ambient-server.ts";
import { AnalysisLimit } from "../space/analysis-limit.ts";
import { describeJoined, type Saying } from "../space/describe.ts";
import { type Diagram, NO, YES } from "../space/diagram.ts";
import { ABSENT, type Dimension } from "../space/dimension.ts";
import type { Region } from "../space/regions.ts";
import { type AnalysedServer, ASKS, ServerSpace } from "../space/server-space.ts";
import type { TextCells } from "../space/text-division.ts";

/** Who asks, as far as a server sees it. */
export interface Caller {
  /** Without `spiffe://`; null: no certificate of the mesh, so plaintext. */
  readonly principal: string | null;
  /** Where it asks from; absent where no file tells. */
  readonly addresses?: readonly AddressRange[];
}

/** Some requests: all that are in one of the regions. */
export interface RequestSet {
  /** Each region in words; none: there is no request. A region without words is all requests. */
  readonly sayings: readonly (readonly Saying[])[];
  /** False: there are more, which too many words would be needed for. */
  readonly isWhole: boolean;
  /** The regions themselves, where they are asked for: they hold on to much. */
  readonly regions?: readonly Region[];
  readonly dimensions?: readonly Dimension[];
}

/** What a caller may ask at some ports. One of the two sets has requests. */
export interface PortAccess {
  readonly ports: PortSet;
  readonly allowed: RequestSet;
  /** Those about which an external authorizer is asked. */
  readonly asked: RequestSet;
}

const SCHEME = "spiffe://";
/** More cannot be read. */
const MAX_LINES = 8;

/** Which requests of a caller's are let through, at which ports. */
export class ServerAccess {
  /** Absent once everything that may be asked was answered: a mesh has a space for each class of its workloads. */
  #space: AccessSpace | undefined;
  readonly #callers: NamedCallers | undefined;
  /** Identities that policies name, by their cell. */
  readonly #cells: ReadonlyMap<string, number>;
  /** What all other identities have in common; undefined where policies tell them apart. */
  #otherCell: number | undefined;
  readonly #byCaller = new Map<string, readonly PortAccess[]>();
  readonly #byPorts = new WeakMap<readonly PortAccess[], Map<PortSet, readonly PortAccess[]>>();

  /** @throws {AnalysisLimit} where the policy is not analysed. */
  constructor(policy: AnalysedServer, keepsRegions: boolean) {
    const space = new AccessSpace(policy, keepsRegions);
    const named = new Map<string, number>();
    const others: number[] = [];
    for (const [at, { only }] of space.identities.cells.entries())
      if (only === undefined) others.push(at + 1);
      else named.set(only.slice(SCHEME.length), at + 1);
    this.#cells = named;
    this.#callers = space.namedCallers();
    this.#space = space;
    if (space.asksAddresses) return;
    for (const cell of [ABSENT, ...named.values(), ...others])
      this.#byCaller.set(keyOf(cell, undefined), space.accessOf(cell, undefined));
    const [first, ...more] = others.map((cell) => this.#byCaller.get(keyOf(cell, undefined)));
    if (first === undefined || more.some((access) => access !== first)) return;
    this.#otherCell = others[0];
    this.#space = undefined;
  }

  /**
   * @param ports those that networks let the caller connect to, by TCP. Equal lists that are one object are answered alike.
   * @throws {AnalysisLimit} where nobody knows what a server makes of such a caller.
   */
  from(caller: Caller, ports: PortSet): readonly PortAccess[] {
    const identity = this.#identityOf(caller);
    const addresses = this.#space?.addressCells(caller);
    const key = keyOf(identity, addresses);
    let known = this.#byCaller.get(key);
    if (known === undefined) {
      known = this.#space?.accessOf(identity, addresses) ?? [];
      this.#byCaller.set(key, known);
    }
    return this.#atPorts(known, ports);
  }

  /**
   * Whose requests may be let through, wherever from and at whatever port: identities by name, without `spiffe://`, and
   * whether those without any are. Undefined: too many to name.
   */
  namedCallers(): NamedCallers | undefined {
    return this.#callers;
  }

  #atPorts(all: readonly PortAccess[], ports: PortSet): readonly PortAccess[] {
    const known = this.#byPorts.get(all) ?? new Map<PortSet, readonly PortAccess[]>();
    this.#byPorts.set(all, known);
    let found = known.get(ports);
    if (found === undefined) {
      found = all.flatMap((access) => {
        const common = intersectPorts(access.ports, ports);
        return common.length === 0 ? [] : [{ ...access, ports: common }];
      });
      known.set(ports, found);
    }
    return found;
  }

  #identityOf({ principal }: Caller): number {
    if (principal === null) return ABSENT;
    const named = this.#cells.get(principal);
    if (named !== undefined) return named;
    if (!WORKLOAD_IDENTITY.test(principal))
      throw new AnalysisLimit(`no CA of a mesh gives the identity ${principal}`);
    if (this.#otherCell !== undefined) return this.#otherCell;
    const cell = this.#space?.identities.cellOf(`${SCHEME}${principal}`);
    if (cell === undefined) throw new AnalysisLimit(`no CA of a mesh gives the identity ${principal}`);
    return cell + 1;
  }
}

function keyOf(identity: number, addresses: readonly number[] | undefined): string {
  return addresses === undefined ? `${identity}` : `${identity} ${addresses.join(",")}`;
}

const WORKLOAD_IDENTITY = /^[^/]+\/ns\/[^/]+\/sa\/[^/]+$/;

export interface NamedCallers {
  readonly principals: readonly string[];
  readonly anonymous: boolean;
}

/** All requests, and which of them one server lets through. */
class AccessSpace {
  readonly identities: TextCells;
  readonly #space: ServerSpace;
  readonly #allowed: Diagram;
  readonly #asked: Diagram;
  readonly #known = new Map<string, readonly PortAccess[]>();
  readonly #keepsRegions: boolean;

  constructor(policy: AnalysedServer, keepsRegions: boolean) {
    this.#keepsRegions = keepsRegions;
    this.#space = new ServerSpace([policy]);
    const outcomes = this.#space.outcomes(policy);
    this.#allowed = this.#space.diagrams.where(outcomes, YES);
    this.#asked = this.#space.diagrams.where(outcomes, ASKS);
    const dimension = this.#space.dimensions[this.#place("identity")];
    if (dimension?.kind !== "identity") throw new Error("BUG: the identity is no dimension of identities");
    this.identities = dimension.texts;
  }

  get asksAddresses(): boolean {
    return this.#space.placeOf("source.ip") !== undefined;
  }

  namedCallers(): NamedCallers | undefined {
    const { diagrams } = this.#space;
    const place = this.#place("identity");
    const through = diagrams.or(this.#allowed, this.#asked);
    const isThrough = (cell: number): boolean => diagrams.given(through, place, cell) !== NO;
    const principals: string[] = [];
    for (const [at, { only }] of this.identities.cells.entries()) {
      if (!isThrough(at + 1)) continue;
      if (only === undefined) return undefined;
      principals.push(only.slice(SCHEME.length));
    }
    return { principals, anonymous: isThrough(ABSENT) };
  }

  /** Undefined where no policy tells addresses apart, or none is known. */
  addressCells({ addresses }: Caller): readonly number[] | undefined {
    const place = this.#space.placeOf("source.ip");
    const dimension = place === undefined ? undefined : this.#space.dimensions[place];
    if (dimension?.kind !== "address" || addresses === undefined) return undefined;
    return dimension.addresses.cells.flatMap(({ block, except }, cell) =>
      addresses.some((range) => overlaps(range, block, except)) ? [cell] : [],
    );
  }

  accessOf(identity: number, addresses: readonly number[] | undefined): readonly PortAccess[] {
    const { diagrams } = this.#space;
    const seen = (all: Diagram): Diagram => {
      const own = diagrams.given(all, this.#place("identity"), identity);
      const place = this.#space.placeOf("source.ip");
      if (place === undefined || addresses === undefined) return own;
      return addresses.length === 1
        ? diagrams.given(own, place, addresses[0] ?? 0)
        : this.#space.restrict(own, diagrams.within(place, addresses));
    };
    const [allowed, asked, requests] = [seen(this.#allowed), seen(this.#asked), seen(this.#space.requests)];
    if (allowed === NO && asked === NO) return NOTHING;
    // Callers whom policies do not tell apart are answered once.
    const key = `${allowed} ${asked} ${requests}`;
    const known = this.#known.get(key) ?? this.#byPorts(allowed, asked, requests);
    this.#known.set(key, known);
    return known;
  }

  #place(id: string): number {
    const place = this.#space.placeOf(id);
    if (place === undefined) throw new Error(`BUG: no dimension ${id}`);
    return place;
  }

  /** Ports at which the same is let through stand together. */
  #byPorts(allowed: Diagram, asked: Diagram, requests: Diagram): readonly PortAccess[] {
    const place = this.#place("port");
    const at = (set: Diagram, cell: number): Diagram => this.#space.diagrams.given(set, place, cell);
    const alike = new Map<string, { ports: PortSet; readonly cell: number }>();
    for (const [cell, ports] of this.#portsOfCells().entries()) {
      const key = `${at(allowed, cell)} ${at(asked, cell)}`;
      if (key === `${NO} ${NO}` || ports.length === 0) continue;
      const known = alike.get(key);
      if (known === undefined) alike.set(key, { ports, cell });
      else known.ports = unionPorts(known.ports, ports);
    }
    return [...alike.values()].map(({ ports, cell }) => ({
      ports,
      allowed: this.#requestSet(at(allowed, cell), at(requests, cell)),
      asked: this.#requestSet(at(asked, cell), at(requests, cell)),
    }));
  }

  /** The proxy's own ports are nobody's: they count for none, so that they cut no range. */
  #portsOfCells(): readonly PortSet[] {
    const dimension = this.#space.dimensions[this.#place("port")];
    if (dimension?.kind !== "port") throw new Error("BUG: the port is no dimension of ports");
    const named = dimension.ports.slice(0, -1).filter((port) => !isProxyPort(port));
    const single = (port: number): PortSet => portRange(port, port);
    const others = named.map(single).reduce((left, own) => subtractPorts(left, own), ALL_PORTS);
    return dimension.ports.map((port, cell) =>
      cell === dimension.ports.length - 1 ? others : isProxyPort(port) ? NO_PORTS : single(port),
    );
  }

  #requestSet(set: Diagram, requests: Diagram): RequestSet {
    const { dimensions } = this.#space;
    const limit = MAX_LINES;
    const { regions, rest } = coverToJoin(this.#space.diagrams, dimensions, set, { requests, limit });
    const joined = joinAlternatives(dimensions, regions);
    const sayings = joined.slice(0, MAX_LINES).map((own) => describeJoined(dimensions, own));
    const isWhole = rest === NO && joined.length <= MAX_LINES;
    return this.#keepsRegions ? { sayings, isWhole, regions, dimensions } : { sayings, isWhole };
  }
}

function isProxyPort(port: number): boolean {
  return port === CAPTURE_PORT || ZTUNNEL_PORTS.includes(port);
}

const NOTHING: readonly PortAccess[] = [];

function overlaps(range: AddressRange, block: string, except: readonly string[]): boolean {
  const own = rangeOf(block);
  return (
    own.family === range.family &&
    subtractRanges(own, except.map(rangeOf)).some(
      ({ first, last }) => first <= range.last && last >= range.first,
    )
  );
}

/** A block of one address is written without its length. */
function rangeOf(text: string): AddressRange {
  return addressRange(text) ?? cidrRange(text);
}
