import type { SpiffeId } from "../../model/spiffe-id.ts";

/** One certificate that the CA handed out. */
export interface IssuedCertificateRecord {
  /** Lower-case hexadecimal, no leading zero byte. */
  readonly serial: string;
  /** Key identifier of the certificate that signed, lower-case hexadecimal: a serial is unique only under its issuer. */
  readonly issuerKeyId: string;
  readonly spiffeId: SpiffeId;
  /** Milliseconds since the epoch. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** SHA-256 of the SubjectPublicKeyInfo, hexadecimal: two keys in use for one identity show here. */
  readonly keyHash: string;
  readonly issuedAtMs: number;
  /** How the caller proved who it is: `token`, `certificate`, `oidc`, `node-agent`, `workload-api`. */
  readonly method: string;
}

/** Reasons that a revocation can state (RFC 5280 §5.3.1; hold and removal are not offered: a key that was doubted is replaced). */
export type RevocationReason =
  | "unspecified"
  | "keyCompromise"
  | "cACompromise"
  | "affiliationChanged"
  | "superseded"
  | "cessationOfOperation"
  | "privilegeWithdrawn";

/** One revoked certificate. */
export interface Revocation {
  /** Position in the order of all revocations of this store, from 1, without repeats: what `revocationsSince` counts by. */
  readonly sequence: number;
  readonly serial: string;
  readonly issuerKeyId: string;
  readonly spiffeId: SpiffeId;
  readonly notAfterMs: number;
  readonly reason: RevocationReason;
  readonly revokedAtMs: number;
  /** Who did it: `cli`, an authenticated identity, a drill. */
  readonly by: string;
  /** Of a certificate that signs: its own key identifier, which those below it name as their issuer's. */
  readonly subjectKeyId?: string;
}

/** A key of which a certificate was revoked: the CA certifies it for nobody any more. */
export interface RevokedKey {
  /** Position in the order of all revoked keys, rising, perhaps with gaps. */
  readonly sequence: number;
  /** As {@link IssuedCertificateRecord.keyHash}. */
  readonly keyHash: string;
}

/** A certificate that signs, and is on no record of what was issued to workloads. */
export type AuthorityRecord = Pick<Revocation, "serial" | "issuerKeyId" | "spiffeId" | "notAfterMs"> & {
  readonly subjectKeyId: string;
};

/** How and when something is revoked. */
export interface RevokeHow {
  readonly reason: RevocationReason;
  readonly by: string;
  readonly atMs: number;
  /** Of an identity: nothing is issued for it from then on, whatever is shown, until {@link CaStore.unblock}. */
  readonly block?: boolean;
}

/** What the caller of an issuance proved itself with. */
export interface IssuanceProof {
  /** When that token or certificate was itself issued, milliseconds since the epoch. */
  readonly issuedAtMs: number;
}

/**
 * A line drawn under what an identity held: certificates and tokens of it that were issued before `beforeMs` no longer prove anything to the CA.
 * A token that is issued later does: its workload has been attested anew. Unless the identity is blocked as well: then nothing does.
 */
export interface IdentityCutoff {
  readonly spiffeId: SpiffeId;
  readonly beforeMs: number;
  readonly block?: { readonly sinceMs: number; readonly by: string };
}

export interface AuditRecord {
  readonly timeMs: number;
  readonly kind: "issued" | "refused" | "revoked" | "rotation" | "key-use" | "alert";
  /** The authenticated caller; null where there is none. */
  readonly caller: string | null;
  readonly method: string | null;
  readonly spiffeId: string | null;
  readonly serial: string | null;
  /** A BulwarkErrorCode for refusals; null otherwise. */
  readonly code: string | null;
  /** For a person. Never holds a token, a key or what a stranger sent. */
  readonly message: string;
}

/** A value that several replicas change by compare-and-set: the phase of a rotation, the number of the last CRL. */
export interface VersionedValue {
  /** 0 while the value has never been set. */
  readonly version: number;
  /** JSON text; empty while never set. */
  readonly text: string;
}

/** Which certificates to revoke. */
export type RevocationTarget =
  | { readonly serial: string; readonly issuerKeyId?: string }
  | { readonly spiffeId: SpiffeId }
  | { readonly authority: AuthorityRecord };

export interface IssuedFilter {
  readonly spiffeId?: SpiffeId;
  readonly serial?: string;
  /** Only those that end after this. */
  readonly endsAfterMs?: number;
  readonly limit?: number;
}

/**
 * What a CA must not lose, in one place that several replicas may share. Every promise resolves only once its change is durable (on the disk, or committed by
 * the database); a change that failed has not happened. All reject with BulwarkError BW_CA_STORE_… .
 */
export interface CaStore {
  /** For messages: `sqlite:PATH`, or the database's address without its password. */
  readonly name: string;
  /**
   * @param proof without it, the certificate's own time counts as the proof's.
   * @throws BW_CA_STORE_SERIAL_TAKEN when a certificate of that issuer and serial is on record: the caller draws another.
   * @throws BW_CA_STORE_CUT_OFF when the proof is older than the identity's cutoff, BW_CA_STORE_BLOCKED when the identity is blocked,
   * BW_CA_STORE_KEY_REVOKED when a certificate of that key was revoked, BW_CA_STORE_ISSUER_REVOKED when that of the issuer was. One step with the record: what
   * is revoked while a request of it is under way gets nothing.
   */
  recordIssued(record: IssuedCertificateRecord, proof?: IssuanceProof): Promise<void>;
  /** Newest first. */
  issued(filter?: IssuedFilter): AsyncIterable<IssuedCertificateRecord>;
  /**
   * Revokes what the target names, with every other certificate of the same keys, as far as it is neither revoked nor ended; a `spiffeId` also draws its cutoff
   * at `atMs`, even where no certificate lives. The keys of what it names are revoked for good: of a serial even when that certificate has ended, of an
   * identity those of the certificates that live.
   * @returns the new revocations, in order; empty when there was nothing left to revoke.
   * @throws BW_CA_STORE_UNKNOWN_SERIAL when no certificate has that serial.
   */
  revoke(target: RevocationTarget, how: RevokeHow): Promise<readonly Revocation[]>;
  /** Revocations with a sequence above `sequence`, in order. */
  revocationsSince(sequence: number): Promise<readonly Revocation[]>;
  revocationOf(issuerKeyId: string, serial: string): Promise<Revocation | undefined>;
  /** The newest `limit` keys that were revoked with a sequence above `sequence`, in order. */
  revokedKeysSince(sequence: number, limit: number): Promise<readonly RevokedKey[]>;
  cutoffOf(spiffeId: SpiffeId): Promise<IdentityCutoff | undefined>;
  /** Every cutoff: one an identity that was ever revoked. */
  cutoffs(): Promise<readonly IdentityCutoff[]>;
  /** Lifts a block; the cutoff stays. @returns whether there was one. */
  unblock(spiffeId: SpiffeId): Promise<boolean>;
  /** Calls back within a second of any replica's revocation or cutoff, until `signal` aborts. The call says only that there is news. */
  watchRevocations(onNews: () => void, signal: AbortSignal): void;
  read(name: string): Promise<VersionedValue>;
  /** @returns false when the version is no longer `expectedVersion`: read again. */
  compareAndSet(name: string, expectedVersion: number, text: string): Promise<boolean>;
  audit(record: AuditRecord): Promise<void>;
  /** Newest first. */
  audited(limit: number): Promise<readonly AuditRecord[]>;
  /** Removes what has served its time (see Retention). @returns how many records went. */
  prune(nowMs: number): Promise<number>;
  /** Waits for changes under way; later calls reject with BW_CA_STORE_CLOSED. */
  close(): Promise<void>;
}
