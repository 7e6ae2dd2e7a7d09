/**
 * One signature against the policy, by Sigstore's own verifier: the certificate's chain at the time of signing, its entry in the
 * certificate log, the signature's entry in the transparency log, timestamps, and the signature itself.
 *
 * The verifier takes subjects as regular expressions without anchors (`istio.io` would take `istio.io.evil.example`), and does not
 * look whether a message's digest is its digest. Both are done here.
 */
import { createHash } from "node:crypto";
import type { Bundle } from "@sigstore/bundle";
import type { TrustedRoot } from "@sigstore/protobuf-specs";
import type { Signer, TrustMaterial } from "@sigstore/verify";
import type { TrustedSigner } from "../../analysis/trust/signatures/signature-verdict.ts";
import type { StoredSignature } from "./read-signatures.ts";
import type { SignaturePolicy, TrustedIdentity, TrustedKey } from "./signature-policy.ts";
import { imagesSigned, type SignedContent } from "./signed-image.ts";

export type VerifiedSignature =
  | { readonly ok: true; readonly signer: TrustedSigner; readonly logged: boolean }
  | { readonly ok: false; readonly reason: string };

type Signature = { readonly bundle: Bundle; readonly content: SignedContent };

type Sigstore = typeof import("@sigstore/verify");

const EMPTY_ROOT: TrustedRoot = {
  mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
  tlogs: [],
  certificateAuthorities: [],
  ctlogs: [],
  timestampAuthorities: [],
};

/**
 * Images that it says it is for, before anything is verified: finds the signatures to look at.
 * @throws {Error} with the reason why it is for none
 */
export async function imagesClaimed(stored: StoredSignature): Promise<readonly string[]> {
  return imagesSigned((await readSignature(stored)).content);
}

/**
 * Whether the policy believes that it signs this image. Never throws: whatever goes wrong is a refusal.
 * @param digest `sha256:…`
 */
export async function verifySignature(
  stored: StoredSignature,
  digest: string,
  policy: SignaturePolicy,
): Promise<VerifiedSignature> {
  try {
    const signature = await readSignature(stored);
    // INVARIANT: what is said of images is read from the very bytes that are verified, and from nothing else in the file.
    const signed = imagesSigned(signature.content);
    if (!signed.includes(digest)) return { ok: false, reason: `is for ${signed.join(", ")}` };
    return await verifyContent(signature, policy);
  } catch (error) {
    return { ok: false, reason: reasonOf(error) };
  }
}

/** Whether the policy believes it, whatever it is over. @throws what the verifier throws when it does not hold */
export async function verifyContent(
  signature: Signature,
  policy: SignaturePolicy,
): Promise<VerifiedSignature> {
  const sigstore = await import("@sigstore/verify");
  return signature.bundle.verificationMaterial.content.$case === "publicKey"
    ? byKey(sigstore, signature, policy)
    : byIdentity(sigstore, signature, policy);
}

async function readSignature({ bundle: json, payload }: StoredSignature): Promise<Signature> {
  const { bundleFromJSON } = await import("@sigstore/bundle");
  const bundle = bundleFromJSON(json);
  const { content } = bundle;
  if (content.$case === "dsseEnvelope") {
    const { payloadType, payload: statement } = content.dsseEnvelope;
    return { bundle, content: { kind: "statement", payloadType, payload: statement } };
  }
  if (payload === undefined) throw new Error("signs a message that is not in it");
  // An algorithm that is not named is taken for SHA-256 by the verifier too; cosign writes no other.
  const digest = createHash("sha256").update(payload).digest();
  if (!digest.equals(content.messageSignature.messageDigest.digest))
    throw new Error("the digest in it is not that of its payload");
  return { bundle, content: { kind: "simple-signing", payload } };
}

function byKey(
  sigstore: Sigstore,
  { bundle, content }: Signature,
  { keys, root }: SignaturePolicy,
): VerifiedSignature {
  if (keys.length === 0) return { ok: false, reason: "is by a key, and only identities are trusted" };
  const reasons = new Set<string>();
  for (const key of keys) {
    try {
      const entity = sigstore.toSignedEntity(bundle, content.payload);
      const logs = root?.tlogs.length ?? 0;
      const verifier = new sigstore.Verifier(materialFor(sigstore, root ?? EMPTY_ROOT, key), {
        ctlogThreshold: 0,
        tlogThreshold: logs > 0 ? 1 : 0,
        timestampThreshold: 0,
      });
      // Without a root there is nothing to hold the log's word against: it is not looked at, and the verdict says so.
      verifier.verify(root === undefined ? { ...entity, tlogEntries: [], timestamps: [] } : entity);
      return { ok: true, signer: { kind: "key", name: key.name }, logged: logs > 0 };
    } catch (error) {
      reasons.add(reasonOf(error));
    }
  }
  return {
    ok: false,
    reason: `not by ${keys.map(({ name }) => name).join(", ")}: ${[...reasons].join("; ")}`,
  };
}

function byIdentity(
  sigstore: Sigstore,
  { bundle, content }: Signature,
  { identities, root }: SignaturePolicy,
): VerifiedSignature {
  if (identities.length === 0 || root === undefined)
    return { ok: false, reason: "is by a certificate, and only keys are trusted" };
  const verifier = new sigstore.Verifier(sigstore.toTrustMaterial(root), {
    // A log that the root does not know cannot be asked for: private authorities often have none.
    ctlogThreshold: root.ctlogs.length > 0 ? 1 : 0,
    tlogThreshold: root.tlogs.length > 0 ? 1 : 0,
    // Certificates live for minutes: without a trusted time of signing nothing tells that it still held.
    timestampThreshold: 1,
  });
  const { issuer, subject } = identityOf(verifier.verify(sigstore.toSignedEntity(bundle, content.payload)));
  if (!identities.some((identity) => isBy(identity, issuer, subject)))
    return { ok: false, reason: `is by \`${subject}\` of ${issuer}, who is not trusted` };
  return { ok: true, signer: { kind: "identity", issuer, subject }, logged: root.tlogs.length > 0 };
}

function identityOf({ identity }: Signer): { issuer: string; subject: string } {
  return { issuer: identity?.extensions?.issuer ?? "", subject: identity?.subjectAlternativeName ?? "" };
}

function isBy(trusted: TrustedIdentity, issuer: string, subject: string): boolean {
  return trusted.issuer === issuer && subject !== "" && matches(trusted.subject, subject);
}

/** Piece by piece from the left, the last at the end: linear, whatever is written. */
function matches(pattern: string, text: string): boolean {
  const [first = "", ...rest] = pattern.split("*");
  if (!text.startsWith(first)) return false;
  const last = rest.pop();
  if (last === undefined) return text === pattern;
  let at = first.length;
  for (const piece of rest) {
    const found = text.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}

function materialFor(sigstore: Sigstore, root: TrustedRoot, { key }: TrustedKey): TrustMaterial {
  return sigstore.toTrustMaterial(root, () => ({ publicKey: key, validFor: () => true }));
}

/** One line, without what a file of others could send to a terminal. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replaceAll(/\p{Cc}+/gu, " ").slice(0, 300);
}
