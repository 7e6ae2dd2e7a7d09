/** The signatures of all images that a mesh's pods name. */
import { parseImageReference } from "../../analysis/trust/images/image-reference.ts";
import type {
  RefusedSignature,
  SignatureVerdict,
} from "../../analysis/trust/signatures/signature-verdict.ts";
import type { StoredSignature } from "./read-signatures.ts";
import type { SignaturePolicy } from "./signature-policy.ts";
import { imagesClaimed, verifySignature } from "./verify-signature.ts";

/** @param images as written in the pods. @returns the verdict by the image as written; what cannot be parsed is left out */
export async function checkImageSignatures(
  images: Iterable<string>,
  signatures: readonly StoredSignature[],
  policy: SignaturePolicy,
): Promise<ReadonlyMap<string, SignatureVerdict>> {
  const byDigest = await claims(signatures);
  const verdicts = new Map<string, SignatureVerdict>();
  for (const image of new Set(images)) {
    const reference = parseImageReference(image);
    if (reference === undefined) continue;
    const { digest } = reference;
    const verdict: SignatureVerdict =
      digest === undefined
        ? { outcome: "not-pinned" }
        : await judge(byDigest.get(digest) ?? [], digest, policy);
    verdicts.set(image, verdict);
  }
  return verdicts;
}

/** One that holds is enough: images are signed by several. */
async function judge(
  candidates: readonly StoredSignature[],
  digest: string,
  policy: SignaturePolicy,
): Promise<SignatureVerdict> {
  const refused: RefusedSignature[] = [];
  for (const candidate of candidates) {
    const { file } = candidate;
    const result = await verifySignature(candidate, digest, policy);
    if (result.ok) return { outcome: "verified", file, signer: result.signer, logged: result.logged };
    refused.push({ file, reason: result.reason });
  }
  const [first, ...others] = refused;
  return first === undefined ? { outcome: "unsigned" } : { outcome: "refused", refused: [first, ...others] };
}

async function claims(
  signatures: readonly StoredSignature[],
): Promise<ReadonlyMap<string, readonly StoredSignature[]>> {
  const byDigest = new Map<string, StoredSignature[]>();
  for (const signature of signatures) {
    // What is no signature of an image is not missed: an image that has no other stays unsigned, which is reported.
    const digests = await imagesClaimed(signature).catch((): readonly string[] => []);
    for (const digest of digests) byDigest.set(digest, [...(byDigest.get(digest) ?? []), signature]);
  }
  return byDigest;
}
