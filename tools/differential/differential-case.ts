/** One question to all: a mesh around one workload, and what is sent to it. Plain data, so that it shrinks and prints. */

import type { PeerMode } from "../../src/control/envoy/peer-modes.ts";
import type { PathNormalization } from "../../src/model/mesh-config.ts";
import type { RuleSpec } from "../../src/policy/authorization-spec.ts";

/** In policies this stands for the workload's own address, which differs from one subject to the next. */
export const POD = "@pod";

/** Whom a policy selects. */
export type Selection = "all" | "own" | "others";

export interface PeerSpec {
  readonly namespace: string;
  readonly selects: Selection;
  readonly mode: PeerMode | "UNSET" | null;
  readonly ports: Readonly<Record<string, PeerMode | "UNSET">>;
}

export interface PolicySpec {
  readonly namespace: string;
  readonly selects: Selection;
  readonly dryRun: boolean;
  readonly action: "ALLOW" | "DENY" | "AUDIT" | "CUSTOM";
  /** Of CUSTOM: an extension provider (fixed-authorizer.ts), or a name that none has. */
  readonly provider?: string;
  readonly rules: readonly RuleSpec[];
}

export interface TokenLocations {
  readonly fromHeaders?: readonly { readonly name: string; readonly prefix?: string }[];
  readonly fromParams?: readonly string[];
  readonly fromCookies?: readonly string[];
}

export interface TokenRuleSpec extends TokenLocations {
  readonly issuer: string;
  readonly audiences?: readonly string[];
  readonly forwardOriginalToken?: boolean;
  readonly spaceDelimitedClaims?: readonly string[];
}

export interface TokenPolicySpec {
  readonly namespace: string;
  readonly selects: Selection;
  readonly rules: readonly TokenRuleSpec[];
}

/** An ingress gateway instead of a sidecar: `numTrustedProxies` of MeshConfig, and of its pod's own annotation. */
export interface GatewaySpec {
  readonly meshWide: number;
  readonly own: number | null;
}

export interface MeshSpec {
  readonly gateway?: GatewaySpec | null;
  readonly trustDomain: string;
  readonly trustDomainAliases: readonly string[];
  readonly pathNormalization: PathNormalization;
  readonly peers: readonly PeerSpec[];
  readonly tokens: readonly TokenPolicySpec[];
  readonly policies: readonly PolicySpec[];
}

export type Claims = Readonly<Record<string, unknown>>;

/** `signer`: the issuer's own key, or one that no key set has. `flaw` breaks the token's text. */
export interface TokenSpec {
  readonly claims: Claims;
  readonly signer: "issuer" | "nobody";
  readonly flaw: "none" | "garbage" | "truncated";
  /** How it is sent: after `Bearer `, in a header, a parameter, a cookie. */
  readonly place: TokenPlace;
}

export type TokenPlace =
  | { readonly kind: "header"; readonly name: string; readonly prefix: string }
  | { readonly kind: "param"; readonly name: string }
  | { readonly kind: "cookie"; readonly name: string };

export interface RequestSpec {
  readonly method: string;
  readonly target: string;
  readonly host: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly token: TokenSpec | null;
  readonly body?: BodySpec | null;
}

export interface BodySpec {
  readonly text: string;
  /** For HTTP/1.1: in chunks; else with its length. */
  readonly chunked: boolean;
}

export interface ConnectionSpec {
  /** `rogue`: a certificate of an untrusted CA. `simple`: TLS without a certificate. */
  readonly tls: "mtls" | "rogue" | "simple" | "plaintext";
  /** The certificate's name without `spiffe://`; `dns:NAME` for one with only a DNS name. For `mtls` and `rogue`. */
  readonly principal: string;
  readonly alpn: readonly string[];
  readonly sni: string;
  readonly sourceIp: string;
  readonly port: number;
  /** Whether it speaks HTTP; else four letters of something else. */
  readonly http: boolean;
  /** HTTP/2, by prior knowledge or as ALPN has it. */
  readonly http2?: boolean;
  /** For HTTP: sent one after the other. */
  readonly requests: readonly RequestSpec[];
}

export interface DifferentialCase {
  readonly mesh: MeshSpec;
  readonly connections: readonly ConnectionSpec[];
}
