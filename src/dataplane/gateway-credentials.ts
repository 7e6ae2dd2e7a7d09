import { createHash, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { decodePem } from "../identity/pem.ts";
import { rootsOfCredential, type SecretReference } from "../policy/outbound/credential.ts";
import type { GatewayTls } from "../policy/outbound/types.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import type { SecretData, SecretStore } from "./secret-store.ts";

/** A certificate with its chain, and its key, as PEM. */
export interface CertificatePair {
  readonly cert: string;
  readonly key: string;
  /** An OCSP response about it, DER as latin1, to be stapled. */
  readonly staple?: string;
}

/** What a gateway's server proves itself by, and verifies clients by. */
export interface ServerCredentials {
  readonly pairs: readonly CertificatePair[];
  /** Roots of clients' certificates, as PEM; undefined where none are asked for. */
  readonly clientRoots: string | undefined;
  readonly revocations: string | undefined;
  /** Equal for equal contents; tells nothing of them. */
  readonly fingerprint: string;
}

/**
 * Certificates and keys of a server that ends TLS. All or nothing: one that cannot be used makes the server refuse.
 * @see pilot/pkg/credentials/kube/secrets.go of istio/istio, for the names of fields
 */
export function readServerCredentials(
  tls: GatewayTls,
  secrets: SecretStore,
): ServerCredentials | BulwarkError {
  try {
    const pairs = pairsOf(tls, secrets);
    for (const pair of pairs) checkPair(pair);
    const roots = asksClients(tls) ? rootsOf(tls, secrets) : undefined;
    if (roots !== undefined) checkRoots(roots);
    const clientRoots = roots?.pem;
    const revocations = roots?.revocations;
    const fingerprint = createHash("sha256")
      .update(JSON.stringify([pairs, clientRoots, revocations]))
      .digest("hex");
    return { pairs, clientRoots, revocations, fingerprint };
  } catch (error) {
    return error instanceof BulwarkError ? error : unusable("its certificates cannot be read", error);
  }
}

/** What a proxy proves itself by to a server outside, and verifies it by. */
export interface ClientCredentials {
  readonly pair: CertificatePair | undefined;
  readonly roots: string;
}

/**
 * Of the Secret that a DestinationRule names: with mutual TLS a certificate and key, and the server's roots in any case.
 * @param mutual whether a certificate of our own is shown.
 */
export function readClientCredentials(
  credential: SecretReference,
  mutual: boolean,
  secrets: SecretStore,
): ClientCredentials | BulwarkError {
  try {
    const pair = mutual ? pairOf(credential, secrets) : undefined;
    if (pair !== undefined) checkPair(pair);
    const roots = rootsBeside(credential, secrets);
    checkRoots(roots);
    return { pair, roots: roots.pem };
  } catch (error) {
    return error instanceof BulwarkError ? error : unusable("its certificates cannot be read", error);
  }
}

/** Whether clients are asked for a certificate. */
export function asksClients({ mode }: GatewayTls): boolean {
  return mode === "MUTUAL" || mode === "OPTIONAL_MUTUAL";
}

function pairsOf(tls: GatewayTls, secrets: SecretStore): readonly CertificatePair[] {
  const { credentials, serverCertificate = "", privateKey = "" } = tls;
  if (credentials.length > 0) return credentials.map((credential) => pairOf(credential, secrets));
  if (serverCertificate === "" || privateKey === "")
    throw unusable("it names neither a Secret nor files with a certificate and a key");
  return [{ cert: fileText(serverCertificate), key: fileText(privateKey) }];
}

/** Fields of a certificate and its key: Istio's own, then those of Secrets of type kubernetes.io/tls. */
const PAIR_FIELDS = [
  ["cert", "key"],
  ["tls.crt", "tls.key"],
] as const;

/** As Istio has it (GenericScrtOcspStaple, TLSSecretOcspStaple). */
const STAPLE_FIELD = "tls.ocsp-staple";

function pairOf(credential: SecretReference, secrets: SecretStore): CertificatePair {
  const data = secrets.secret(credential);
  if (data === undefined) throw unusable(`there is no Secret ${nameOf(credential)}`);
  for (const [certField, keyField] of PAIR_FIELDS) {
    const cert = data(certField);
    const key = data(keyField);
    if (cert === undefined || key === undefined) continue;
    const staple = data(STAPLE_FIELD);
    return { cert, key, ...(staple === undefined ? {} : { staple }) };
  }
  throw unusable(
    `Secret ${nameOf(credential)} has no \`tls.crt\` with \`tls.key\`, nor \`cert\` with \`key\``,
  );
}

interface CertificateRoots {
  readonly pem: string;
  readonly revocations: string | undefined;
  readonly from: string;
}

function rootsOf(tls: GatewayTls, secrets: SecretStore): CertificateRoots {
  const { clientRoots, credentials, caCertificates = "", caCrl = "" } = tls;
  const [credential] = credentials;
  if (clientRoots !== undefined) return rootsIn(clientRoots, secrets.secretOrConfigMap(clientRoots));
  if (credential === undefined) {
    if (caCertificates === "") throw unusable("it names no roots to verify clients by");
    const revocations = caCrl === "" ? undefined : fileText(caCrl);
    return { pem: fileText(caCertificates), revocations, from: "`caCertificates`" };
  }
  return rootsBeside(credential, secrets);
}

function rootsBeside(credential: SecretReference, secrets: SecretStore): CertificateRoots {
  const found = rootsOfCredential(credential).find((reference) => secrets.secret(reference) !== undefined);
  return rootsIn(found ?? credential, found === undefined ? undefined : secrets.secret(found));
}

function rootsIn(reference: SecretReference, data: SecretData | undefined): CertificateRoots {
  if (data === undefined) throw unusable(`there is no Secret ${nameOf(reference)} with roots`);
  const pem = data("cacert") ?? data("ca.crt");
  if (pem === undefined)
    throw unusable(`Secret ${nameOf(reference)} has no \`ca.crt\` (or \`cacert\`) to verify by`);
  return { pem, revocations: data("crl") ?? data("ca.crl"), from: `Secret ${nameOf(reference)}` };
}

function nameOf({ namespace, name }: SecretReference): string {
  return `\`${namespace}/${name}\``;
}

function checkPair({ cert, key }: CertificatePair): void {
  try {
    createSecureContext({ cert, key });
  } catch (cause) {
    throw unusable("its certificate and key are damaged, or not of each other", cause);
  }
}

/** OpenSSL takes what is no certificate for no roots at all, and stops at the first that is damaged. */
function checkRoots({ pem, revocations, from }: CertificateRoots): void {
  const certificates = decodePem("CERTIFICATE", pem);
  if (certificates.length === 0) throw unusable(`the roots of ${from} are no certificates`);
  try {
    for (const certificate of certificates) new X509Certificate(certificate);
    createSecureContext({ ca: pem, ...(revocations === undefined ? {} : { crl: revocations }) });
  } catch (cause) {
    throw unusable(`the roots, or the list of revocations, of ${from} are damaged`, cause);
  }
}

function fileText(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "unreadable";
    throw unusable(`the file \`${path}\` cannot be read (${code})`, cause);
  }
}

function unusable(why: string, cause?: unknown): BulwarkError {
  return new BulwarkError("BW_GATEWAY_NO_CREDENTIAL", why, cause === undefined ? {} : { cause });
}
