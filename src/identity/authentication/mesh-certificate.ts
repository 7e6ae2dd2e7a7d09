import type { TrustDomain } from "../../model/spiffe-id.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { type PeerCertificate, verifyPeerIdentity } from "../peer-certificate.ts";
import type { CaStore, IssuedCertificateRecord } from "../store/ca-store.ts";
import type { AuthenticatedCaller, PresentedCertificate } from "./caller.ts";
import type { LivePods } from "./live-pods.ts";

export interface MeshCertificateOptions {
  readonly trustDomain: TrustDomain;
  readonly records: Pick<CaStore, "issued" | "revocationOf">;
  /**
   * The mesh's pods, where they are all known: then a certificate renews only what still runs. Undefined: a certificate renews itself
   * until it is revoked, as in Istio.
   */
  readonly livePods: LivePods | undefined;
  /** Longest life that a certificate may be renewed for; undefined: the CA's own maximum. */
  readonly maxTtlSeconds?: number | undefined;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
}

/**
 * Whether a certificate that TLS has verified still speaks for its identity to the CA.
 * @throws {BulwarkError} BW_CA_CERTIFICATE_UNTRUSTED and what else TLS found; BW_PEER_…; BW_CA_CERTIFICATE_REVOKED;
 * BW_CA_CERTIFICATE_UNKNOWN when the record names another identity; BW_CA_IDENTITY_GONE; BW_CA_STORE_….
 */
export async function authenticateCertificate(
  presented: PresentedCertificate,
  options: MeshCertificateOptions,
): Promise<AuthenticatedCaller> {
  if (!presented.trusted) throw new BulwarkError(presented.code, presented.reason);
  const { trustDomain, records, livePods, clock } = options;
  const { peer } = presented;
  // No aliases: the CA signs for its own trust domain, so a name of before a migration proves nothing about a name of after.
  const result = verifyPeerIdentity(peer, { trustDomain, aliases: [], nowMs: clock() });
  if (!result.ok) throw new BulwarkError(result.code, result.reason);
  const { id: spiffeId, namespace, serviceAccount } = result.peer;
  const runs = (livePods?.() ?? []).some(
    (pod) => pod.namespace === namespace && pod.serviceAccount === serviceAccount,
  );
  if (livePods !== undefined && !runs)
    throw new BulwarkError("BW_CA_IDENTITY_GONE", "no pod of the certificate's identity is running any more");
  const record = await recordOf(peer, records);
  if (record !== undefined && record.spiffeId !== spiffeId)
    throw new BulwarkError(
      "BW_CA_CERTIFICATE_UNKNOWN",
      "the certificate is not the one on record under its serial",
    );
  return {
    spiffeId,
    method: "certificate",
    // `notBefore` is backdated: what was issued just after a cutoff would seem to have been before it.
    issuedAtMs: record?.issuedAtMs ?? peer.notBefore.getTime(),
    notAfterMs: peer.notAfter.getTime(),
    maxTtlSeconds: options.maxTtlSeconds,
    pod: undefined,
  };
}

/** The record of a certificate that is not revoked; none for one that another CA under the same roots has signed. */
async function recordOf(
  { authorityKeyId, serial }: PeerCertificate,
  records: MeshCertificateOptions["records"],
): Promise<IssuedCertificateRecord | undefined> {
  if (authorityKeyId === undefined)
    throw new BulwarkError("BW_CA_CERTIFICATE_UNKNOWN", "the certificate does not name its issuer's key");
  if ((await records.revocationOf(authorityKeyId, serial)) !== undefined)
    throw new BulwarkError("BW_CA_CERTIFICATE_REVOKED", "the certificate has been revoked");
  for await (const record of records.issued({ serial }))
    if (record.issuerKeyId === authorityKeyId) return record;
  return undefined;
}
