import type { SpiffeId } from "../../model/spiffe-id.ts";
import type { BulwarkErrorCode } from "../../resources/bulwark-error.ts";
import type { PeerCertificate } from "../peer-certificate.ts";
import type { TokenSubject } from "../service-account-token.ts";

/** A client certificate as TLS left it. */
export type PresentedCertificate =
  /** Its chain ends at one of the mesh's roots, and the other end has its key. */
  | { readonly trusted: true; readonly peer: PeerCertificate }
  | { readonly trusted: false; readonly code: BulwarkErrorCode; readonly reason: string };

/** What the other end showed to say who it is. */
export interface Credentials {
  /** A JWT: what stands after `Bearer `. */
  readonly bearerToken: string | undefined;
  readonly certificate: PresentedCertificate | undefined;
  /** IP address of the other end; undefined where there is none, as on a Unix socket. */
  readonly peerAddress: string | undefined;
}

/** The pod that a token is bound to. */
export interface CallerPod extends TokenSubject {
  /** Where it runs, if the token or its reviewer says so. */
  readonly node: string | undefined;
}

/** Who asks, as the CA found out by itself. */
export interface AuthenticatedCaller {
  readonly spiffeId: SpiffeId;
  /** By a service account token, a certificate of the mesh, or an outside issuer's token. */
  readonly method: "token" | "certificate" | "oidc";
  /** When what was shown was made, and when it ends; milliseconds since the epoch. Of several, the older and the sooner. */
  readonly issuedAtMs: number;
  readonly notAfterMs: number;
  /** Longest life of a certificate that it may ask for by what it showed; undefined: the CA's own maximum. */
  readonly maxTtlSeconds?: number | undefined;
  /** Only for service account tokens. */
  readonly pod: CallerPod | undefined;
}
