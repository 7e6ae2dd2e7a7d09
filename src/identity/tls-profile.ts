import type { SecureVersion } from "node:tls";
import { BulwarkError } from "../resources/bulwark-error.ts";
import type { KeyAlgorithmName } from "./key-algorithm.ts";

/**
 * Restrictions over every TLS setting of a mesh, as istiod takes them from its environment variable of this name.
 * @see istio.io/istio pkg/features/security.go
 */
export const COMPLIANCE_POLICIES = ["", "fips-140-2", "pqc"] as const;
export type CompliancePolicy = (typeof COMPLIANCE_POLICIES)[number];
export const COMPLIANCE_VARIABLE = "COMPLIANCE_POLICY";

/** What a TLS context takes; suites of 1.2 and 1.3 in OpenSSL's names, groups in order of preference. */
export interface TlsLimits {
  readonly minVersion: SecureVersion;
  readonly maxVersion: SecureVersion;
  readonly ciphers: string;
  readonly ecdhCurve: string;
}

/** Versions, suites and groups of every TLS connection that this program makes or takes: here and nowhere else. */
export interface TlsProfile {
  readonly policy: CompliancePolicy;
  /** Between proxies, and with the CA. */
  readonly mesh: TlsLimits & { readonly minVersion: "TLSv1.3"; readonly maxVersion: "TLSv1.3" };
  /** With what is no part of the mesh: clients of gateways, hosts outside. */
  readonly outside: TlsLimits;
  /** A gateway's own choice of suites, versions and groups stands only without a compliance policy. */
  readonly overridesGateways: boolean;
  /** Kinds of keys that the CA signs for. */
  readonly keyAlgorithms: readonly KeyAlgorithmName[];
}

const SUITES_13 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
const AES_SUITES_13 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"];
const AES_SUITES_12 = [
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
];
/** Suites of TLS 1.2 where a server names none: forward secret, authenticated encryption (RFC 9325 §4.2). */
const SUITES_12 = [...AES_SUITES_12, "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"];

/** Hybrid post-quantum agreement first, then the classic curves (FIPS 203; draft-ietf-tls-ecdhe-mlkem). */
const GROUPS = "X25519MLKEM768:X25519:P-256";

const ONLY_13 = { minVersion: "TLSv1.3", maxVersion: "TLSv1.3" } as const;
const FROM_12 = { minVersion: "TLSv1.2", maxVersion: "TLSv1.3" } as const;
const EVERY_KEY = ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa"] as const;

const PROFILES: Readonly<Record<CompliancePolicy, TlsProfile>> = {
  "": {
    policy: "",
    mesh: { ...ONLY_13, ciphers: SUITES_13.join(":"), ecdhCurve: GROUPS },
    outside: { ...FROM_12, ciphers: [...SUITES_13, ...SUITES_12].join(":"), ecdhCurve: `${GROUPS}:P-384` },
    overridesGateways: false,
    keyAlgorithms: EVERY_KEY,
  },
  // The approved algorithms of SP 800-52r2 with the curve that Istio names; Istio's Envoy stops at TLS 1.2, which its validated module knew, and the mesh here begins at 1.3.
  "fips-140-2": {
    policy: "fips-140-2",
    mesh: { ...ONLY_13, ciphers: AES_SUITES_13.join(":"), ecdhCurve: "P-256" },
    outside: { ...FROM_12, ciphers: [...AES_SUITES_13, ...AES_SUITES_12].join(":"), ecdhCurve: "P-256" },
    overridesGateways: true,
    keyAlgorithms: ["ecdsa-p256", "ecdsa-p384", "rsa"],
  },
  pqc: {
    policy: "pqc",
    mesh: { ...ONLY_13, ciphers: AES_SUITES_13.join(":"), ecdhCurve: "X25519MLKEM768" },
    outside: { ...ONLY_13, ciphers: AES_SUITES_13.join(":"), ecdhCurve: "X25519MLKEM768" },
    overridesGateways: true,
    keyAlgorithms: EVERY_KEY,
  },
};

/** @throws {BulwarkError} BW_COMPLIANCE_POLICY for a value that Istio does not know either: a misspelt restriction must not mean none. */
export function tlsProfileOf(policy: string): TlsProfile {
  const known = COMPLIANCE_POLICIES.find((name) => name === policy);
  if (known !== undefined) return PROFILES[known];
  throw new BulwarkError(
    "BW_COMPLIANCE_POLICY",
    `${COMPLIANCE_VARIABLE} is none of ${COMPLIANCE_POLICIES.filter((name) => name !== "").join(", ")}, or empty`,
  );
}

/** The profile of this process, of its environment. Read once: no connection may outlive a stricter choice unnoticed. */
export const TLS_PROFILE: TlsProfile = tlsProfileOf(process.env[COMPLIANCE_VARIABLE] ?? "");
