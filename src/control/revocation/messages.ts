/** What `bulwark ca`, control and proxies say to each other about certificates and their revocation. */
import type { RevokedCertificate, RevokedIdentity } from "../../identity/revocation/revoked-set.ts";
import type { RevocationReason } from "../../identity/store/ca-store.ts";

/** In `hello`'s answer: all that is revoked. As `revoked`: what came since. Each replaces nothing: what was revoked stays so. */
export interface RevocationUpdate {
  readonly revoked: readonly RevokedCertificate[];
  /** Identities that were revoked: what stands on them from before then is void, also where the certificate has ended since. */
  readonly identities: readonly RevokedIdentity[];
  /** SHA-256 of the SubjectPublicKeyInfo of keys of which a certificate was revoked, the newest so many. */
  readonly keys: readonly string[];
  /** By the clock that the identities' times are of, milliseconds since the epoch. */
  readonly sentAtMs: number;
  /** After so long without word from control a proxy refuses every mesh handshake; 0: it goes on with what it knows. */
  readonly maxAgeMs: number;
}

/** A proxy's answer to `revoked`. */
export interface RevocationAnswer {
  /** Live connections that it ended. */
  readonly cut: number;
}

/** `ca.revoke`: exactly one of the first three. */
export interface RevokeParams {
  /** Hexadecimal, with or without colons. */
  readonly serial?: string;
  readonly spiffeId?: string;
  /** `namespace/name` */
  readonly workload?: string;
  readonly reason: RevocationReason;
  /** Of an identity: nothing is issued for it until `ca.unblock`. */
  readonly block?: boolean;
}

export interface RevokeReport {
  readonly revoked: readonly {
    readonly serial: string;
    readonly identity: string;
    readonly notAfter: string;
  }[];
  /** The identity that lost its standing with the CA; null where only a certificate was revoked. */
  readonly cutOff: string | null;
  /** Whether nothing is issued for it until it is unblocked. */
  readonly blocked: boolean;
  /** Workloads of the mesh that run as that identity. */
  readonly workloads: readonly string[];
  /** Proxies that were told, and those that said that they act on it. The others are told again when they connect, before they accept anything. */
  readonly proxies: { readonly told: number; readonly confirmed: number };
  readonly connectionsCut: number;
  /** From the command's arrival to the last confirmation. */
  readonly durationMs: number;
}

/** `ca.revoke-intermediate`: of what signed, once it is revoked. */
export interface IntermediateReport extends Pick<RevokeReport, "proxies" | "connectionsCut" | "durationMs"> {
  /** Key identifier and serial of what was revoked. */
  readonly keyId: string;
  readonly serial: string;
  /** It was revoked already. */
  readonly wasRevokedBefore: boolean;
  /** Key identifier of the intermediate that signs now. */
  readonly signer: string;
  /** How long workloads had to renew, before it was revoked. */
  readonly renewalMs: number;
  /** Pods whose proxies had not renewed by then. */
  readonly late: readonly string[];
}

/** A certificate that signed, and is revoked. */
export interface RevokedAuthority {
  readonly keyId: string;
  readonly serial: string;
  readonly at: string;
  readonly reason: RevocationReason;
  readonly by: string;
}

/** `ca.restore` and `ca.unblock`: an identity may ask for certificates again. */
export interface RestoreReport {
  readonly identity: string;
  readonly pods: readonly string[];
}

/** Events for those who subscribed. */
export type RevocationEvent =
  | {
      readonly kind: "revoked";
      readonly serials: readonly string[];
      readonly identities: readonly string[];
    }
  /** What proved this identity before then no longer does. */
  | {
      readonly kind: "identity-cut-off";
      readonly identity: string;
      readonly beforeMs: number;
      readonly blocked: boolean;
    }
  | { readonly kind: "revocation-http"; readonly url: string }
  /** Its pods are to be given new tokens. */
  | { readonly kind: "identity-restored"; readonly identity: string };

/** `ca.crl` */
export interface CrlReport {
  readonly issuerKeyId: string;
  readonly number: number;
  /** Of a delta. */
  readonly baseNumber: number | null;
  readonly nextUpdate: string;
  /** DER in Base64. */
  readonly crl: string;
}

export interface CutOff {
  readonly identity: string;
  /** Milliseconds since the epoch. */
  readonly beforeMs: number;
  /** Nothing is issued for it, whatever is shown. */
  readonly blocked: boolean;
}

/** An identity for which nothing is issued. */
export interface BlockedIdentity {
  readonly identity: string;
  readonly since: string;
  readonly by: string;
}

export type CertificateStanding = "valid" | "ended" | "revoked";

export interface CaCertificate {
  readonly serial: string;
  readonly identity: string;
  readonly issuerKeyId: string;
  readonly issuedAt: string;
  readonly notAfter: string;
  readonly method: string;
  readonly status: CertificateStanding;
  readonly revoked: { readonly at: string; readonly reason: RevocationReason; readonly by: string } | null;
  /** The pod whose proxy says that it uses this certificate now. */
  readonly usedBy: string | null;
}

export type CaAlertKind =
  | "certificate-ending"
  | "authority-ending"
  | "two-keys"
  | "unexpected-issuer"
  | "not-on-record"
  | "clock-skew"
  | "revoked-in-use";

export interface CaAlert {
  readonly kind: CaAlertKind;
  readonly identity: string | null;
  /** Where there are several, the newest. */
  readonly serial: string | null;
  /** Of `two-keys`: all of them, the newest first, a hundred at most. */
  readonly serials?: readonly string[];
  /** For a person. */
  readonly message: string;
}

export interface CaAuthority {
  readonly role: "root" | "intermediate";
  readonly keyId: string;
  readonly notAfter: string;
}

/** `ca.status` */
export interface CaReport {
  readonly trustDomain: string;
  readonly store: string;
  readonly authorities: readonly CaAuthority[];
  readonly revokedAuthorities: readonly RevokedAuthority[];
  /** Key identifier of an intermediate whose revocation was begun and is not done. */
  readonly revoking: string | null;
  readonly certificates: readonly CaCertificate[];
  /** Whether there are more than were asked for. */
  readonly more: boolean;
  readonly alerts: readonly CaAlert[];
  readonly blocked: readonly BlockedIdentity[];
}

export const REVOCATION_REASONS: readonly RevocationReason[] = [
  "unspecified",
  "keyCompromise",
  "cACompromise",
  "affiliationChanged",
  "superseded",
  "cessationOfOperation",
  "privilegeWithdrawn",
];
