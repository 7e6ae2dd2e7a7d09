/** What the check of an image's signatures came to. Made by src/cli/trust, which reads and verifies; rules report it. */

/** Who is believed: a key of the user's, or a person or workload that an issuer vouched for. */
export type TrustedSigner =
  | { readonly kind: "key" /** The file that it is from. */; readonly name: string }
  | { readonly kind: "identity"; readonly issuer: string; readonly subject: string };

export interface RefusedSignature {
  readonly file: string;
  /** Why it does not count, in one line. */
  readonly reason: string;
}

export type SignatureVerdict =
  | {
      readonly outcome: "verified";
      readonly file: string;
      readonly signer: TrustedSigner;
      /** Whether it was demanded that the signature stands in a transparency log. */
      readonly logged: boolean;
    }
  /** There are signatures that speak of the image, and none holds. */
  | { readonly outcome: "refused"; readonly refused: readonly [RefusedSignature, ...RefusedSignature[]] }
  /** No signature among those given speaks of the digest. */
  | { readonly outcome: "unsigned" }
  /** Named by a tag: what a node will pull is not in the files, so no signature can be held against it. */
  | { readonly outcome: "not-pinned" };
