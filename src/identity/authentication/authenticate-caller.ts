import type { SpiffeId } from "../../model/spiffe-id.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { CaStore } from "../store/ca-store.ts";
import type { AuthenticatedCaller, Credentials, PresentedCertificate } from "./caller.ts";
import { authenticateCertificate, type MeshCertificateOptions } from "./mesh-certificate.ts";
import type { TokenAuthenticator } from "./token-authenticator.ts";
import { readClaimedIssuer, tokenKeyOf } from "./token-claims.ts";

export interface CallerAuthentication {
  /** The token's issuer chooses; where several have one name, the first that knows the token's key. */
  readonly tokens: readonly TokenAuthenticator[];
  /** Undefined: certificates are not accepted. */
  readonly certificates: MeshCertificateOptions | undefined;
  readonly records: Pick<CaStore, "cutoffOf">;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
}

/**
 * Who asks, by all that the other end has shown: each credential must be good, and all of them must name one identity. Nothing
 * that was made before the identity's cutoff counts, and nothing at all for one that is blocked.
 * @throws {BulwarkError} BW_CA_NO_CREDENTIALS, BW_CA_CREDENTIALS_DISAGREE, BW_CA_CREDENTIAL_CUT_OFF, BW_CA_IDENTITY_BLOCKED, BW_TOKEN_…, BW_OIDC_UNMAPPED,
 * BW_CA_CERTIFICATE_…, BW_PEER_…, BW_CA_STORE_…. No message holds any part of what was shown.
 */
export async function authenticateCaller(
  credentials: Credentials,
  authentication: CallerAuthentication,
): Promise<AuthenticatedCaller> {
  const { bearerToken, certificate, peerAddress } = credentials;
  const byCertificate = certificate && (await byCertificateOf(certificate, authentication));
  const byToken =
    bearerToken === undefined ? undefined : await byTokenOf(bearerToken, peerAddress, authentication);
  const caller = combine(byToken, byCertificate);
  const cutoff = await authentication.records.cutoffOf(caller.spiffeId);
  if (cutoff?.block !== undefined) throw identityBlocked(caller.spiffeId);
  if (cutoff !== undefined && caller.issuedAtMs < cutoff.beforeMs)
    throw new BulwarkError(
      "BW_CA_CREDENTIAL_CUT_OFF",
      "what the caller shows is older than the revocation of its identity: it has to be attested anew",
    );
  return caller;
}

/** Whatever is shown for it. */
export function identityBlocked(spiffeId: SpiffeId): BulwarkError {
  const message = `${spiffeId} is blocked: the CA issues nothing for it until it is unblocked`;
  return new BulwarkError("BW_CA_IDENTITY_BLOCKED", message);
}

async function byCertificateOf(
  certificate: PresentedCertificate,
  { certificates }: CallerAuthentication,
): Promise<AuthenticatedCaller> {
  if (certificates !== undefined) return await authenticateCertificate(certificate, certificates);
  throw new BulwarkError("BW_CA_CERTIFICATE_NOT_ACCEPTED", "certificates are not accepted as a proof here");
}

async function byTokenOf(
  jwt: string,
  peerAddress: string | undefined,
  { tokens, clock }: CallerAuthentication,
): Promise<AuthenticatedCaller> {
  const issuer = readClaimedIssuer(jwt);
  const candidates = tokens.filter((candidate) => candidate.issuer === issuer);
  let refusal = new BulwarkError("BW_TOKEN_ISSUER", "the token is of an issuer that is not trusted here");
  for (const authenticator of candidates) {
    try {
      const { tokenId, ownAddresses, ...caller } = await authenticator.authenticate(jwt);
      // Only now: what is remembered of forged tokens would be the forger's to choose.
      const tokenKey = tokenKeyOf(jwt, issuer, tokenId);
      authenticator.uses?.use(
        { tokenKey, notAfterMs: caller.notAfterMs, peerAddress, ownAddresses },
        clock(),
      );
      return { ...caller, maxTtlSeconds: authenticator.maxTtlSeconds };
    } catch (error) {
      if (!(error instanceof BulwarkError) || !NOT_ITS_OWN.has(error.code)) throw error;
      refusal = error;
    }
  }
  throw refusal;
}

/** Clusters that were never told otherwise all have the same issuer's name, and each its own keys. */
const NOT_ITS_OWN: ReadonlySet<string> = new Set(["BW_TOKEN_UNKNOWN_KEY", "BW_TOKEN_REVIEW_REFUSED"]);

function combine(
  byToken: AuthenticatedCaller | undefined,
  byCertificate: AuthenticatedCaller | undefined,
): AuthenticatedCaller {
  const caller = byToken ?? byCertificate;
  if (caller === undefined)
    throw new BulwarkError("BW_CA_NO_CREDENTIALS", "neither a token nor a certificate was shown");
  if (byToken === undefined || byCertificate === undefined) return caller;
  if (byToken.spiffeId !== byCertificate.spiffeId)
    throw new BulwarkError(
      "BW_CA_CREDENTIALS_DISAGREE",
      "the token and the certificate are of two identities",
    );
  return {
    ...byToken,
    issuedAtMs: Math.min(byToken.issuedAtMs, byCertificate.issuedAtMs),
    notAfterMs: Math.min(byToken.notAfterMs, byCertificate.notAfterMs),
    maxTtlSeconds: leastOf(byToken.maxTtlSeconds, byCertificate.maxTtlSeconds),
  };
}

function leastOf(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined ? other : Math.min(one, other ?? one);
}
