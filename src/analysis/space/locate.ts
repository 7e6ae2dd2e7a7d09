/** Where in a space a request lies. */
import { parseIpAddress } from "../../policy/ip-address.ts";
import { ABSENT, type Dimension, HTTP, TCP, type TextDimension, unverifiedCell } from "./dimension.ts";
import type { Point, SampleRequest } from "./request-space.ts";

/**
 * The point of a request. Its path is to be normal, its host in lower case.
 * @returns undefined where there is no such request: an identity that no CA of a mesh gives, for one.
 */
export function locate(dimensions: readonly Dimension[], request: SampleRequest): Point | undefined {
  const point: number[] = [];
  for (const dimension of dimensions) {
    const cell = cellOf(dimension, request);
    if (cell === undefined) return undefined;
    point.push(cell);
  }
  return point;
}

function cellOf(dimension: Dimension, request: SampleRequest): number | undefined {
  const isTcp = request.protocol === "tcp";
  switch (dimension.kind) {
    case "port": {
      const cell = dimension.ports.indexOf(request.port);
      return cell < 0 ? dimension.size - 1 : cell;
    }
    case "protocol":
      return isTcp ? TCP : HTTP;
    case "identity":
      return request.principal === null
        ? ABSENT
        : shifted(dimension.texts.cellOf(`spiffe://${request.principal}`));
    case "address":
      return isTcp && dimension.id === "remote.ip" ? 0 : addressCell(dimension, request);
    case "text":
      return isTcp && dimension.id !== "sni" ? 0 : dimension.texts.cellOf(textOf(dimension, request));
    case "token":
      if (!isTcp && request.unverified !== undefined) return unverifiedCell(dimension);
      return isTcp || request.claims === null
        ? ABSENT
        : shifted(indexOf(dimension.issuers, request.claims.iss));
    case "field": {
      const [text] = isTcp ? [] : textsUnder(dimension.id, request);
      return text === undefined ? ABSENT : shifted(dimension.texts.cellOf(text));
    }
    case "member": {
      const texts = isTcp ? [] : textsUnder(dimension.aspect.id, request);
      return texts.some((text) => dimension.texts.cellOf(text) === dimension.cell) ? 1 : ABSENT;
    }
  }
}

/** Behind the cell of what is absent. */
function shifted(cell: number | undefined): number | undefined {
  return cell === undefined ? undefined : cell + 1;
}

function indexOf(issuers: readonly string[], issuer: unknown): number | undefined {
  return typeof issuer === "string" && issuers.includes(issuer) ? issuers.indexOf(issuer) : undefined;
}

function addressCell(
  dimension: Extract<Dimension, { kind: "address" }>,
  request: SampleRequest,
): number | undefined {
  const text =
    dimension.id === "source.ip"
      ? request.sourceIp
      : dimension.id === "remote.ip"
        ? (request.remoteIp ?? request.sourceIp)
        : request.destinationIp;
  const address = parseIpAddress(text);
  return address === undefined ? undefined : dimension.addresses.cellOf(address);
}

function textOf({ id }: TextDimension, request: SampleRequest): string {
  if (id === "method") return request.method;
  if (id === "host") return request.host;
  return id === "path" ? request.path : request.sni;
}

/** The texts that a request has under the name of a header or claim. */
function textsUnder(id: string, { headers, claims }: SampleRequest): readonly string[] {
  if (id.startsWith("header ")) {
    const name = id.slice("header ".length);
    return headers.filter((_, at) => at % 2 === 1 && headers[at - 1] === name);
  }
  let value: unknown = claims;
  for (const [, name = ""] of id.matchAll(/\[([^[\]]*)\]/g)) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return [];
    value = Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
  }
  const values: readonly unknown[] = Array.isArray(value) ? value : [value];
  return values.filter((text) => typeof text === "string");
}
