import { TOKEN_LOWER } from "../../policy/http1-grammar.ts";
import { type HOP_FIELDS, isProtectedField } from "../../policy/protected-fields.ts";

/** What the parser itself does with a header of this name. */
export const FIELD_ROLE = {
  /** Carried on unchanged. */
  plain: 0,
  host: 1,
  contentLength: 2,
  transferEncoding: 3,
  connection: 4,
  upgrade: 5,
  expect: 6,
  te: 7,
  /** Hop-by-hop or refused by design (h2c): ends at this hop. */
  drop: 8,
} as const;

/** A header name that is recognised without making a string. */
export interface KnownField {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly role: number;
}

const ROLE_OF: Readonly<Record<(typeof HOP_FIELDS)[number], number>> = {
  host: FIELD_ROLE.host,
  "content-length": FIELD_ROLE.contentLength,
  "transfer-encoding": FIELD_ROLE.transferEncoding,
  connection: FIELD_ROLE.connection,
  upgrade: FIELD_ROLE.upgrade,
  expect: FIELD_ROLE.expect,
  te: FIELD_ROLE.te,
  "keep-alive": FIELD_ROLE.drop,
  "proxy-connection": FIELD_ROLE.drop,
  "http2-settings": FIELD_ROLE.drop,
};
const ROLES: ReadonlyMap<string, number> = new Map(Object.entries(ROLE_OF));

/** Common names: only a matter of speed, except those in ROLES, which the parser must know. */
const COMMON =
  "accept accept-charset accept-encoding accept-language accept-ranges access-control-allow-origin age allow authorization " +
  "cache-control content-disposition content-encoding content-language content-location content-range " +
  "content-security-policy content-type cookie date etag expires forwarded from if-match if-modified-since " +
  "if-none-match if-range if-unmodified-since last-modified link location origin pragma proxy-authenticate " +
  "proxy-authorization range referer retry-after server set-cookie strict-transport-security trailer user-agent vary via " +
  "www-authenticate x-b3-parentspanid x-b3-sampled x-b3-spanid x-b3-traceid x-content-type-options " +
  "x-envoy-attempt-count x-envoy-upstream-service-time x-forwarded-client-cert x-forwarded-for x-forwarded-host " +
  "x-forwarded-port x-forwarded-proto x-frame-options x-powered-by x-real-ip x-request-id traceparent tracestate";

const SLOTS = 1024;
const MULTIPLIER = 31;

const TABLE: readonly (KnownField | undefined)[] = buildTable();

function buildTable(): readonly (KnownField | undefined)[] {
  const table: (KnownField | undefined)[] = new Array(SLOTS).fill(undefined);
  // Roles last: a name that the parser must know always wins its slot; a common name that loses is only slower.
  for (const name of [...COMMON.split(" "), ...ROLES.keys()]) {
    const bytes = Uint8Array.from(Buffer.from(name, "latin1"));
    const slot = slotOf(bytes);
    const role = ROLES.get(name) ?? FIELD_ROLE.plain;
    if (role !== FIELD_ROLE.plain && (table[slot]?.role ?? 0) !== FIELD_ROLE.plain) {
      throw new Error(`BUG: two header names with a role share slot ${slot}`);
    }
    table[slot] = { name, bytes, role };
  }
  return table;
}

function slotOf(name: Uint8Array): number {
  let hash = 0;
  for (const byte of name) hash = mixName(hash, byte);
  return hash & (SLOTS - 1);
}

/** One step of the name hash over lower-cased bytes; {@link knownField} takes the result. */
export function mixName(hash: number, lowerByte: number): number {
  return (Math.imul(hash, MULTIPLIER) + lowerByte) | 0;
}

/** The known field whose name is bytes [start, end) in any case, or undefined. Compares every byte: no collision can rename a header. */
export function knownField(bytes: Buffer, start: number, end: number, hash: number): KnownField | undefined {
  const known = TABLE[hash & (SLOTS - 1)];
  if (known === undefined || known.bytes.length !== end - start) return undefined;
  const name = known.bytes;
  for (let i = 0; i < name.length; i++) {
    if (name[i] !== TOKEN_LOWER[bytes[start + i] ?? 0]) return undefined;
  }
  return known;
}

/** Beyond the protected and hop-by-hop ones: fields that steer routing, authentication, caching or payload (RFC 9110 §6.5.1). */
const FORBIDDEN_TRAILERS = new Set([
  "age",
  "cache-control",
  "content-encoding",
  "content-range",
  "date",
  "expires",
  "location",
  "max-forwards",
  "pragma",
  "proxy-authenticate",
  "proxy-authorization",
  "range",
  "retry-after",
  "trailer",
  "vary",
  "www-authenticate",
]);

/** Whether a trailer of this name is refused: merged into the headers by a server, it would speak for them. */
export function isForbiddenTrailer(lowerName: string): boolean {
  return isProtectedField(lowerName) || FORBIDDEN_TRAILERS.has(lowerName) || ROLES.has(lowerName);
}
