import { BulwarkError } from "../resources/bulwark-error.ts";

declare const brand: unique symbol;
type Brand<T, B extends string> = T & { readonly [brand]: B };

/** Name of a trust domain, such as `cluster.local`: lower case, 1–255 of `[a-z0-9._-]`. */
export type TrustDomain = Brand<string, "TrustDomain">;
/** A whole SPIFFE ID that passed {@link parseSpiffeId}, such as `spiffe://cluster.local/ns/pay/sa/auditor`. */
export type SpiffeId = Brand<string, "SpiffeId">;

/** A SPIFFE ID taken apart. */
export interface ParsedSpiffeId {
  readonly id: SpiffeId;
  readonly trustDomain: TrustDomain;
  /** `""` for the trust domain itself, else `/` and its segments. */
  readonly path: string;
  /** Set, with `serviceAccount`, only when the path is exactly `/ns/<namespace>/sa/<service account>`. */
  readonly namespace?: string;
  readonly serviceAccount?: string;
}

const MAX_ID_BYTES = 2048;
const SCHEME = "spiffe://";
const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/;
const PATH_SEGMENT = /^[a-zA-Z0-9._-]+$/;

/**
 * A trust domain name, or undefined when it is not one. Upper case is refused, not folded: two spellings of one
 * name would be two strings to every comparison that follows.
 * @see SPIFFE-ID specification §2.1
 */
export function parseTrustDomain(text: string): TrustDomain | undefined {
  return TRUST_DOMAIN.test(text) ? (text as TrustDomain) : undefined;
}

/**
 * A SPIFFE ID taken apart, or undefined when `uri` is not strictly one: no port, user, query, fragment,
 * percent-encoding, empty, `.` or `..` segment, trailing slash; at most 2048 bytes.
 * @see SPIFFE-ID specification §2
 */
export function parseSpiffeId(uri: string): ParsedSpiffeId | undefined {
  if (uri.length > MAX_ID_BYTES || !uri.startsWith(SCHEME)) return undefined;
  const slash = uri.indexOf("/", SCHEME.length);
  const trustDomain = parseTrustDomain(
    slash < 0 ? uri.slice(SCHEME.length) : uri.slice(SCHEME.length, slash),
  );
  if (trustDomain === undefined) return undefined;
  const path = slash < 0 ? "" : uri.slice(slash);
  const segments = path === "" ? [] : path.slice(1).split("/");
  if (!segments.every(isPathSegment)) return undefined;
  return { id: uri as SpiffeId, trustDomain, path, ...istioAccount(segments) };
}

/**
 * The identity of a workload that runs under a Kubernetes service account, in Istio's form.
 * @throws {BulwarkError} BW_SPIFFE_ID_INVALID when a part cannot stand in a SPIFFE ID.
 */
export function workloadSpiffeId(
  trustDomain: TrustDomain,
  namespace: string,
  serviceAccount: string,
): SpiffeId {
  const parsed = parseSpiffeId(`${SCHEME}${trustDomain}/ns/${namespace}/sa/${serviceAccount}`);
  // INVARIANT: the parts come back as they went in, so "a/sa/b" cannot pose as another account.
  if (parsed?.namespace !== namespace || parsed.serviceAccount !== serviceAccount) {
    const detail = { trustDomain, namespace, serviceAccount };
    const account = JSON.stringify(`${namespace}/${serviceAccount}`);
    throw new BulwarkError("BW_SPIFFE_ID_INVALID", `${account} cannot be written as a SPIFFE ID`, { detail });
  }
  return parsed.id;
}

/** The SPIFFE ID of a trust domain itself, as its signing certificates carry it (X.509-SVID specification §4.2). */
export function trustDomainSpiffeId(trustDomain: TrustDomain): SpiffeId {
  return `${SCHEME}${trustDomain}` as SpiffeId;
}

function isPathSegment(segment: string): boolean {
  return PATH_SEGMENT.test(segment) && segment !== "." && segment !== "..";
}

function istioAccount(
  segments: readonly string[],
): { namespace: string; serviceAccount: string } | undefined {
  const [ns, namespace, sa, serviceAccount] = segments;
  if (segments.length !== 4 || ns !== "ns" || sa !== "sa") return undefined;
  if (namespace === undefined || serviceAccount === undefined) return undefined;
  return { namespace, serviceAccount };
}
