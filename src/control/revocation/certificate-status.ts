import type { OcspStatus } from "../../identity/revocation/ocsp-response.ts";
import type { CaStore } from "../../identity/store/ca-store.ts";

/** What became of a certificate, by the CA's records: one that was never issued is unknown, not good. */
export function certificateStatus(
  store: Pick<CaStore, "issued" | "revocationOf">,
): (issuerKeyId: string, serial: string) => Promise<OcspStatus> {
  return async (issuerKeyId, serial) => {
    const revocation = await store.revocationOf(issuerKeyId, serial);
    if (revocation !== undefined) return { revokedAtMs: revocation.revokedAtMs, reason: revocation.reason };
    for await (const record of store.issued({ serial }))
      if (record.issuerKeyId === issuerKeyId) return "good";
    return "unknown";
  };
}
