/** Which images signed bytes are a signature of. */
import { object, parseJson } from "./sigstore-bundle-json.ts";

/** What a signature is over. */
export type SignedContent =
  | { readonly kind: "statement"; readonly payloadType: string; readonly payload: Buffer }
  | { readonly kind: "simple-signing"; readonly payload: Buffer };

const IN_TOTO = "application/vnd.in-toto+json";
/** The statement that is a signature. Others (provenance, SBOM, a scan) say something about an image, not that it may be run. */
const SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1";
const COSIGN_TYPE = "cosign container image signature";

/** @returns digests, `sha256:…`, at least one. @throws {Error} with the reason why it is no signature of an image */
export function imagesSigned(content: SignedContent): readonly string[] {
  const signed = object(parseJson(content.payload.toString("utf8")));
  if (content.kind === "simple-signing") return fromSimpleSigning(signed);
  if (content.payloadType !== IN_TOTO) throw new Error("its envelope holds no in-toto statement");
  return fromStatement(signed);
}

function fromSimpleSigning(signed: Readonly<Record<string, unknown>>): readonly string[] {
  const { type, image } = object(signed.critical);
  if (type !== COSIGN_TYPE) throw new Error(`its payload is no \`${COSIGN_TYPE}\``);
  const digest = object(image)["docker-manifest-digest"];
  if (typeof digest !== "string") throw new Error("its payload names no image");
  return [digest];
}

function fromStatement({ predicateType, subject }: Readonly<Record<string, unknown>>): readonly string[] {
  if (predicateType !== SIGN_PREDICATE)
    throw new Error(`is an attestation (${String(predicateType).slice(0, 100)}), no signature of an image`);
  const digests = (Array.isArray(subject) ? subject : []).flatMap((one) => {
    const { sha256 } = object(object(one).digest);
    return typeof sha256 === "string" ? [`sha256:${sha256}`] : [];
  });
  if (digests.length === 0) throw new Error("its statement names no image");
  return digests;
}
