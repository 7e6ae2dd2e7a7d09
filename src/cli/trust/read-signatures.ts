/**
 * Reads signatures from files: Sigstore bundles (one a file, or one a line), what `cosign download signature` prints (one JSON a
 * line), and folders that `cosign save` wrote (OCI layouts). Nothing is believed here: a file says what it is for, and is verified later.
 */
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { bundleJsonOf, certificatesOfPem, object, parseJson } from "./sigstore-bundle-json.ts";

type Json = Readonly<Record<string, unknown>>;

export interface StoredSignature {
  /** The file, and the line where there are several. */
  readonly file: string;
  /** JSON of a Sigstore bundle. */
  readonly bundle: Json;
  /** What was signed, where the bundle does not have it within. */
  readonly payload?: Buffer;
}

export interface StoredSignatures {
  readonly signatures: readonly StoredSignature[];
  /** Files that hold none, with the reason: told, since a signature that cannot be read is missing. */
  readonly unreadable: readonly { readonly file: string; readonly reason: string }[];
}

const FILES_MAX = 20_000;
const BYTES_MAX = 16 * 1024 * 1024;
/** Far above any bundle: blobs are mostly layers of images, which are not to be read whole. */
const BUNDLE_BYTES_MAX = 1024 * 1024;
const BUNDLE_MEDIA_TYPE = "dev.sigstore.bundle";
const SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json";

/** @param path a file, or a folder that is read with all below it; symbolic links in it are passed by. @throws {BulwarkError} BW_CLI_INPUT when it cannot be read */
export function readSignatures(path: string): StoredSignatures {
  const signatures: StoredSignature[] = [];
  const unreadable: { file: string; reason: string }[] = [];
  for (const file of filesOf(path)) {
    try {
      signatures.push(...(file.endsWith("/index.json") ? fromLayout(file) : fromFile(file)));
    } catch (error) {
      unreadable.push({ file, reason: error instanceof Error ? error.message : String(error) });
    }
  }
  return { signatures, unreadable };
}

function filesOf(path: string): readonly string[] {
  try {
    if (statSync(path).isFile()) return [path];
    const entries = readdirSync(path, { recursive: true, encoding: "utf8" }).map((entry) =>
      join(path, entry),
    );
    if (entries.length > FILES_MAX)
      throw new BulwarkError(
        "BW_CLI_INPUT",
        `${path} has more than ${FILES_MAX} files: name the folder of the signatures`,
      );
    const isStored = (file: string) =>
      /\.(json|jsonl|sigstore|bundle)$/.test(file) && lstatSync(file).isFile();
    return entries.filter((file) => !file.includes("/blobs/") && isStored(file)).sort();
  } catch (error) {
    if (error instanceof BulwarkError) throw error;
    throw new BulwarkError("BW_CLI_INPUT", `signatures cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function readBounded(file: string): string {
  if (statSync(file).size > BYTES_MAX)
    throw new BulwarkError("BW_SIGNATURE_FORMAT", `has more than ${BYTES_MAX} bytes`);
  return readFileSync(file, "utf8");
}

function fromFile(file: string): readonly StoredSignature[] {
  const text = readBounded(file);
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  if (lines.length > 1 && lines.every((line) => line.startsWith("{") && line.trimEnd().endsWith("}")))
    return lines.map((line, index) => fromObject(object(parseJson(line)), `${file}:${index + 1}`));
  const value = parseJson(text);
  return (Array.isArray(value) ? value : [value]).map((one, index, { length }) =>
    fromObject(object(one), length === 1 ? file : `${file}:${index + 1}`),
  );
}

function fromObject(value: Json, file: string): StoredSignature {
  if (isBundle(value)) return { file, bundle: value };
  const {
    Base64Signature: signatureBase64,
    Payload: payloadBase64,
    Cert: cert,
    Chain: chain,
    Bundle: rekor,
  } = value;
  if (typeof signatureBase64 !== "string" || typeof payloadBase64 !== "string") {
    object(undefined);
    return { file, bundle: value };
  }
  const payload = Buffer.from(payloadBase64, "base64");
  const certificates = [cert, ...(Array.isArray(chain) ? chain : [])].flatMap(rawCertificate);
  const stamp = value.RFC3161Timestamp;
  const timestampBase64 =
    typeof stamp === "object" && stamp !== null ? timestampOf(stamp as Json) : undefined;
  const signature = { payload, signatureBase64, certificates, rekor };
  return {
    file,
    payload,
    bundle: bundleJsonOf(timestampBase64 === undefined ? signature : { ...signature, timestampBase64 }),
  };
}

/** Go writes a certificate as its fields, with the DER in `Raw`. */
function rawCertificate(value: unknown): readonly Buffer[] {
  if (value === null || value === undefined) return [];
  const { Raw: raw } = object(value);
  return typeof raw === "string" ? [Buffer.from(raw, "base64")] : [];
}

function timestampOf({ SignedRFC3161Timestamp: stamp }: Json): string | undefined {
  return typeof stamp === "string" ? stamp : undefined;
}

/** @param index `index.json` of an OCI layout */
function fromLayout(index: string): readonly StoredSignature[] {
  const folder = dirname(index);
  const manifests = object(parseJson(readBounded(index))).manifests;
  if (!Array.isArray(manifests)) object(undefined);
  const listed = (manifests as unknown[]).flatMap((entry) => {
    const manifest = object(parseJson(blob(folder, object(entry).digest).toString("utf8")));
    const layers = Array.isArray(manifest.layers) ? manifest.layers : [];
    return layers.flatMap((layer, at) => fromLayer(folder, object(layer), `${index}:${at + 1}`));
  });
  return [...listed, ...bundlesAmongBlobs(folder)];
}

/**
 * cosign 3 keeps bundles as artifacts that refer to the image, and `cosign save` writes the index anew for each thing it saves: the
 * bundles' blobs are there, and nothing names them.
 */
function bundlesAmongBlobs(folder: string): readonly StoredSignature[] {
  const blobs = join(folder, "blobs", "sha256");
  const names = readdirSync(blobs).slice(0, FILES_MAX).sort();
  return names.flatMap((name) => {
    const file = join(blobs, name);
    if (!lstatSync(file).isFile() || statSync(file).size > BUNDLE_BYTES_MAX) return [];
    const text = readFileSync(file, "utf8");
    if (!text.startsWith("{") || !text.includes(BUNDLE_MEDIA_TYPE)) return [];
    try {
      const bundle = object(JSON.parse(text));
      return isBundle(bundle) ? [{ file, bundle }] : [];
    } catch {
      // Layers of images are anything at all.
      return [];
    }
  });
}

function isBundle({ mediaType }: Json): boolean {
  return typeof mediaType === "string" && mediaType.includes(BUNDLE_MEDIA_TYPE);
}

function fromLayer(folder: string, layer: Json, file: string): readonly StoredSignature[] {
  if (layer.mediaType !== SIMPLE_SIGNING) return [];
  const annotations = object(layer.annotations);
  const text = (key: string): string | undefined => {
    const value = annotations[key];
    return typeof value === "string" ? value : undefined;
  };
  const signatureBase64 = text("dev.cosignproject.cosign/signature");
  if (signatureBase64 === undefined) return [];
  const payload = blob(folder, layer.digest);
  const pem = `${text("dev.sigstore.cosign/certificate") ?? ""}\n${text("dev.sigstore.cosign/chain") ?? ""}`;
  const rekor = text("dev.sigstore.cosign/bundle");
  const stamp = text("dev.sigstore.cosign/rfc3161timestamp");
  const timestampBase64 = stamp === undefined ? undefined : timestampOf(object(parseJson(stamp)));
  const signature = {
    payload,
    signatureBase64,
    certificates: certificatesOfPem(pem),
    ...(rekor === undefined ? {} : { rekor: parseJson(rekor) }),
    ...(timestampBase64 === undefined ? {} : { timestampBase64 }),
  };
  return [{ file, payload, bundle: bundleJsonOf(signature) }];
}

/** A blob by its digest, which it is held to: the layout says what belongs together by nothing else. */
function blob(folder: string, digest: unknown): Buffer {
  const [, hex] = /^sha256:([0-9a-f]{64})$/.exec(String(digest)) ?? [];
  if (hex === undefined) throw new BulwarkError("BW_SIGNATURE_FORMAT", "names a blob by no SHA-256 digest");
  const file = join(folder, "blobs", "sha256", hex);
  if (statSync(file).size > BYTES_MAX)
    throw new BulwarkError("BW_SIGNATURE_FORMAT", "has a blob that is too large");
  const bytes = readFileSync(file);
  if (createHash("sha256").update(bytes).digest("hex") !== hex)
    throw new BulwarkError("BW_SIGNATURE_FORMAT", `the blob sha256:${hex} is not what its name says`);
  return bytes;
}
