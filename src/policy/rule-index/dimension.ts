/** What of a connection or request conditions are keyed by: the dimensions of the index over rules. */
import type { Connection } from "../connection.ts";
import type { HttpRequest } from "../http-request.ts";
import type { CidrBlock, IpAddress } from "../ip-address.ts";
import type { TextPatterns } from "../text-pattern.ts";

/** Places of a request that rule programs compare with texts by themselves, without calling a condition. */
export const SLOT_METHOD = 0;
export const SLOT_PATH = 1;
export const SLOT_HOST = 2;
export const SLOT_SNI = 3;
export const SLOT_SUBJECT = 4;
export type Slot =
  | typeof SLOT_METHOD
  | typeof SLOT_PATH
  | typeof SLOT_HOST
  | typeof SLOT_SNI
  | typeof SLOT_SUBJECT;

/** Texts, of which a request has none, one, or several (a header's repeats, a claim's list). Reading allocates nothing. */
export interface TextDimension {
  readonly kind: "text";
  /** Equal for equal dimensions, whoever made them. */
  readonly id: string;
  /** Cursor of the first text after `after` (-1: from the start); -1 where there is none. */
  next(connection: Connection, request: HttpRequest | null, after: number): number;
  textAt(connection: Connection, request: HttpRequest | null, cursor: number): string;
  /** False: the keys say nothing of this connection, any rule may match it. Absent: they always do. */
  tells?(connection: Connection): boolean;
  readonly slot?: Slot;
  /** There may be several texts. */
  readonly repeats?: true;
}

export interface AddressDimension {
  readonly kind: "address";
  readonly id: string;
  addressOf(connection: Connection, request: HttpRequest | null): IpAddress | null;
}

export interface PortDimension {
  readonly kind: "port";
  readonly id: string;
}

export type Dimension = TextDimension | AddressDimension | PortDimension;

/**
 * Where a condition's list of values can match at all.
 * INVARIANT: whatever satisfies the condition has one of these keys; an index that is too wide costs time, one that is too
 * narrow would decide wrongly.
 */
export type ConditionKeys =
  | {
      readonly dimension: TextDimension;
      readonly patterns: TextPatterns;
      /** Whether having a key is all that the list of values asks for. */
      readonly decisive: boolean;
    }
  | { readonly dimension: AddressDimension; readonly blocks: readonly CidrBlock[] }
  | { readonly dimension: PortDimension; readonly ports: readonly number[] };

type ReadText = (connection: Connection, request: HttpRequest | null) => string | null;

/** A dimension of at most one text. */
export function oneText(
  id: string,
  read: ReadText,
  more: Pick<TextDimension, "slot" | "tells"> = {},
): TextDimension {
  return {
    kind: "text",
    id,
    next: (connection, request, after) => (after < 0 && read(connection, request) !== null ? 0 : -1),
    textAt: (connection, request) => read(connection, request) ?? "",
    ...more,
  };
}

/** The name in the client's certificate. */
export const SUBJECT: TextDimension = oneText("subject", ({ subject }) => subject, { slot: SLOT_SUBJECT });

/**
 * Istio's patterns look for namespaces and accounts anywhere in an identity: of an unusual one, its parts say nothing.
 * `/ns/ns/…` and a trust domain `ns` make a second place where a namespace can be found.
 */
function isUsual({ namespace, trustDomain }: Connection): boolean {
  return namespace !== "" && namespace !== "ns" && trustDomain !== "ns";
}

const tells = (connection: Connection): boolean => connection.principal === null || isUsual(connection);

export const NAMESPACE: TextDimension = oneText(
  "namespace",
  ({ namespace }) => (namespace === "" ? null : namespace),
  { tells },
);
export const ACCOUNT: TextDimension = oneText("account", ({ account }) => (account === "" ? null : account), {
  tells,
});

export const METHOD: TextDimension = oneText("method", (_connection, request) => request?.method ?? null, {
  slot: SLOT_METHOD,
});
export const PATH: TextDimension = oneText("path", (_connection, request) => request?.pathOnly ?? null, {
  slot: SLOT_PATH,
});
export const HOST: TextDimension = oneText("host", (_connection, request) => request?.host ?? null, {
  slot: SLOT_HOST,
});
export const SERVER_NAME: TextDimension = oneText("sni", ({ sni }) => sni, { slot: SLOT_SNI });
export const PORT: PortDimension = { kind: "port", id: "port" };
