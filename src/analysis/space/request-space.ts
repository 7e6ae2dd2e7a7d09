/** The space of all requests that servers may tell apart: its dimensions, and a request for every point of it. */
import type { PathNormalization } from "../../model/mesh-config.ts";
import { Connection } from "../../policy/connection.ts";
import { HttpRequest } from "../../policy/http-request.ts";
import type { JwtLocations } from "../../policy/jwt/jwt-policy.ts";
import { type Claims, NO_TOKEN } from "../../policy/jwt/jwt-result.ts";
import { ABSENT, type Dimension, HTTP, unverifiedCell } from "./dimension.ts";

/** A point of the space: a cell for each dimension. */
export type Point = readonly number[];

/** A request of a point, by its parts. */
export interface SampleRequest {
  readonly protocol: "http" | "tcp";
  readonly port: number;
  /** Without `spiffe://`; null: plaintext. */
  readonly principal: string | null;
  readonly sourceIp: string;
  /** Where it is not the peer's own, which a client says by X-Forwarded-For. */
  readonly remoteIp: string | null;
  readonly destinationIp: string;
  readonly sni: string;
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly headers: readonly string[];
  /** Null without a token that verifies. */
  readonly claims: Claims | null;
  /** Where a token stands that does not verify. */
  readonly unverified?: JwtLocations;
}

const PLAIN: SampleRequest = {
  protocol: "http",
  port: 80,
  principal: null,
  sourceIp: "192.0.2.1",
  remoteIp: null,
  destinationIp: "192.0.2.2",
  sni: "",
  method: "GET",
  host: "host.example",
  path: "/",
  headers: [],
  claims: null,
};

/** What a request of this point looks like. Of dimensions that the space does not have, some usual value. */
export function sampleOf(dimensions: readonly Dimension[], point: Point): SampleRequest {
  const parts: Parts = { ...PLAIN };
  const headers: string[] = [];
  let claims: Claims | null = null;
  for (const [at, dimension] of dimensions.entries()) {
    const cell = point[at] ?? 0;
    switch (dimension.kind) {
      case "port":
        parts.port = dimension.ports[cell] ?? 0;
        break;
      case "protocol":
        parts.protocol = cell === HTTP ? "http" : "tcp";
        break;
      case "address":
        setAddress(parts, dimension.id, dimension.addresses.cells[cell]?.sample ?? "");
        break;
      case "token":
        if (dimension.unverified !== null && cell === unverifiedCell(dimension))
          parts.unverified = dimension.unverified;
        else if (cell !== ABSENT) claims = { ...(claims ?? {}), iss: dimension.issuers[cell - 1] };
        break;
      case "text":
        setText(parts, dimension.id, dimension.texts.cells[cell]?.sample ?? "");
        break;
      case "identity":
        parts.principal =
          cell === ABSENT ? null : withoutScheme(dimension.texts.cells[cell - 1]?.sample ?? "");
        break;
      case "field":
        if (cell !== ABSENT)
          claims = addField(dimension.id, dimension.texts.cells[cell - 1]?.sample ?? "", headers, claims);
        break;
      case "member":
        if (cell !== ABSENT)
          claims = addField(
            dimension.aspect.id,
            dimension.texts.cells[dimension.cell]?.sample ?? "",
            headers,
            claims,
          );
        break;
    }
  }
  return { ...parts, headers, claims };
}

function withoutScheme(subject: string): string {
  return subject.slice("spiffe://".length);
}

type Parts = { -readonly [K in keyof SampleRequest]: SampleRequest[K] };

function setAddress(parts: Parts, id: string, text: string): void {
  if (id === "source.ip") parts.sourceIp = text;
  else if (id === "remote.ip") parts.remoteIp = text;
  else parts.destinationIp = text;
}

function setText(parts: Parts, id: string, text: string): void {
  if (id === "method") parts.method = text;
  else if (id === "host") parts.host = text;
  else if (id === "path") parts.path = text;
  else parts.sni = text;
}

/** Adds a value under the header or claim that the id names; one that is there becomes a list. */
function addField(id: string, text: string, headers: string[], claims: Claims | null): Claims | null {
  if (id.startsWith("header ")) {
    headers.push(id.slice("header ".length), text);
    return claims;
  }
  const path = [...id.matchAll(/\[([^[\]]*)\]/g)].map((match) => match[1] ?? "");
  return withClaim(claims ?? {}, path, text);
}

function withClaim(
  claims: Readonly<Record<string, unknown>>,
  path: readonly string[],
  text: string,
): Record<string, unknown> {
  const [name = "", ...rest] = path;
  const before = Object.hasOwn(claims, name) ? claims[name] : undefined;
  if (rest.length > 0) {
    const inner = typeof before === "object" && before !== null && !Array.isArray(before) ? before : {};
    return { ...claims, [name]: withClaim(inner as Record<string, unknown>, rest, text) };
  }
  if (before === undefined) return { ...claims, [name]: text };
  return { ...claims, [name]: Array.isArray(before) ? [...before, text] : [before, text] };
}

/**
 * The connection of a sample, as the server's proxy takes it apart. Another client than the peer is told by a header of
 * the request, which nobody reads on a port of TCP.
 */
export function connectionOf(sample: SampleRequest): Connection {
  const isHttp = sample.protocol === "http";
  const clear = sample.sni === "" ? "plaintext" : "simple";
  return new Connection({
    tls: sample.principal === null ? clear : "mtls",
    principal: sample.principal,
    sourceIp: sample.sourceIp,
    destinationIp: sample.destinationIp,
    destinationPort: sample.port,
    sni: sample.sni,
    alpn: sample.principal === null ? [] : isHttp ? ["istio-http/1.1", "istio"] : ["istio"],
    speaksHttp: isHttp,
  });
}

/** The request of a sample, with its token verified; null where no HTTP is spoken, or nothing would take it for a request. */
export function requestOf(sample: SampleRequest, mode: PathNormalization): HttpRequest | null {
  if (sample.protocol === "tcp") return null;
  const headers =
    sample.remoteIp === null ? sample.headers : [...sample.headers, "x-forwarded-for", sample.remoteIp];
  const request = HttpRequest.read(mode, sample.method, sample.path, sample.host, headers, 2);
  if (request !== null) request.jwt = { ...NO_TOKEN, claims: sample.claims };
  return request;
}
