import { lstatSync } from "node:fs";
import { join } from "node:path";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { readPrivateFile } from "../key-store.ts";

/** A CA from outside as Istio lays it out, in PEM: of a missing part undefined. */
export interface CaMaterial {
  /** For messages: the folder or file. */
  readonly place: string;
  /** `ca-cert.pem`: the certificate that signs. */
  readonly certificate: string | undefined;
  /** `ca-key.pem` */
  readonly key: string | undefined;
  /** `cert-chain.pem`: what stands between it and the root, itself and the root included or not. */
  readonly chain: string | undefined;
  /** `root-cert.pem`: what is trusted. */
  readonly roots: string | undefined;
}

const NAMES = {
  certificate: "ca-cert.pem",
  key: "ca-key.pem",
  chain: "cert-chain.pem",
  roots: "root-cert.pem",
};
/** What cert-manager and other issuers call the same; Istio takes it too. */
const TLS_NAMES = { certificate: "tls.crt", key: "tls.key", chain: "tls.crt", roots: "ca.crt" };

/**
 * Reads a mounted `cacerts` Secret: a folder with one file for each key of it, all of them 0600 or 0400 (`defaultMode: 0400`).
 * @throws {BulwarkError} BW_KEYSTORE_FILE_MODE, BW_KEYSTORE_IO.
 * @see https://istio.io/latest/docs/tasks/security/cert-management/plugin-ca-cert/
 */
export function readMaterialFolder(folder: string): CaMaterial {
  const names =
    lstatSync(join(folder, "tls.crt"), { throwIfNoEntry: false }) === undefined ? NAMES : TLS_NAMES;
  const read = (name: string) => readPrivateFile(join(folder, name));
  return {
    place: folder,
    certificate: read(names.certificate),
    key: read(names.key),
    chain: read(names.chain),
    roots: read(names.roots),
  };
}

/**
 * Reads the object of a Secret as the Kubernetes API gives it: `cacerts`, or `istio-ca-secret`, which istiod writes of its self-signed root and which
 * may hold nothing but the certificate and the key.
 * @param place for messages.
 * @throws {BulwarkError} BW_CA_SECRET when it is no Secret.
 */
export function materialOfSecret(secret: unknown, place: string): CaMaterial {
  const { kind, data, stringData } = fieldsOf(secret);
  if (kind !== "Secret") throw new BulwarkError("BW_CA_SECRET", `${place} holds no Secret`);
  const encoded = fieldsOf(data);
  const plain = fieldsOf(stringData);
  const read = (name: string): string | undefined => {
    const text = plain[name];
    if (typeof text === "string") return text;
    const base64 = encoded[name];
    return typeof base64 === "string" ? Buffer.from(base64, "base64").toString("utf8") : undefined;
  };
  const names = read(TLS_NAMES.certificate) === undefined ? NAMES : TLS_NAMES;
  const certificate = read(names.certificate);
  return {
    place,
    certificate,
    key: read(names.key),
    chain: read(names.chain),
    roots: read(names.roots) ?? (read(names.chain) === undefined ? certificate : undefined),
  };
}

/** The same CA as a Secret to apply, `data` as Kubernetes wants it. */
export function secretOfMaterial(material: CaMaterial, name: string, namespace: string): object {
  const entries = Object.entries(NAMES).flatMap(([part, key]) => {
    const text = material[part as keyof typeof NAMES];
    return text === undefined ? [] : [[key, Buffer.from(text, "utf8").toString("base64")] as const];
  });
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace },
    type: name === "istio-ca-secret" ? "istio.io/ca-root" : "Opaque",
    data: Object.fromEntries(entries),
  };
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}
