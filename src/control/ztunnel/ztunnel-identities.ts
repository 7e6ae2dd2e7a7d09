import { hash } from "node:crypto";
import { issuerKeyIdOf, SvidSource } from "../../identity/rotation.ts";
import { parseSpiffeId } from "../../model/spiffe-id.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { HeldCertificate } from "../held-certificate.ts";
import type { AmbientPod, CertificateStatus, SignAnswer } from "../messages.ts";
import type { TrustAnswer, TrustUpdate } from "../rotation/messages.ts";

export interface ZtunnelIdentitiesOptions {
  /** Asks the CA for a certificate, on behalf of a pod (`namespace/name`) of this identity. */
  readonly sign: (csr: Buffer, pod: string, identity: string) => Promise<SignAnswer>;
  readonly onWarning: (message: string) => void;
  /** One of the certificates is another, or none any more. */
  readonly onCertificate: () => void;
}

interface Held {
  readonly source: SvidSource;
  readonly certificate: HeldCertificate;
  /** Settles, whatever came of it, when the first certificate was asked for. */
  readonly asked: Promise<unknown>;
}

/** The identities that a ztunnel holds: those of its node's ambient pods, each once however many pods have it, for as long as one does. */
export class ZtunnelIdentities {
  readonly #options: ZtunnelIdentitiesOptions;
  readonly #held = new Map<string, Held>();
  #pods: readonly AmbientPod[] = [];

  constructor(options: ZtunnelIdentitiesOptions) {
    this.#options = options;
  }

  /** Takes up what is new. Settles when each identity has been asked for once: one that the CA refuses holds up no other. */
  async take(pods: readonly AmbientPod[]): Promise<void> {
    this.#pods = pods;
    for (const { spiffeId } of pods)
      if (!this.#held.has(spiffeId)) this.#held.set(spiffeId, this.#hold(spiffeId));
    await Promise.all([...this.#held.values()].map(({ asked }) => asked));
  }

  /** Lets go of the identities of which no pod is left: once nothing is served by them any more. */
  dropUnused(): void {
    const used = new Set(this.#pods.map(({ spiffeId }) => spiffeId));
    for (const [identity, { source }] of this.#held) {
      if (used.has(identity)) continue;
      source.stop();
      this.#held.delete(identity);
    }
  }

  /** The source of a pod's certificates, taken up before. */
  of({ spiffeId }: Pick<AmbientPod, "spiffeId">): SvidSource {
    const held = this.#held.get(spiffeId);
    if (held === undefined) throw new Error(`BUG: the identity ${spiffeId} was not taken up`);
    return held.source;
  }

  get certificates(): Readonly<Record<string, CertificateStatus>> {
    return Object.fromEntries(
      [...this.#held].flatMap(([identity, { certificate }]) =>
        certificate.status === null ? [] : [[identity, certificate.status]],
      ),
    );
  }

  /**
   * Follows the CA with all of them; one without a certificate refuses everything, and follows with the next that it gets.
   * @returns what all of them that have one follow now; both empty where none has.
   * @throws {BulwarkError} BW_SVID_NOT_RENEWED, BW_SVID_GRANT_REFUSED: one of them does not.
   */
  async follow(update: TrustUpdate): Promise<TrustAnswer> {
    const held = [...this.#held.values()];
    // The first certificate is asked for by itself; asking for another meanwhile would get two.
    await Promise.all(held.map(({ asked }) => asked));
    await Promise.all(
      held.map(async ({ source }) => {
        try {
          await source.follow(update);
        } catch (error) {
          if (source.current !== undefined) throw error;
        }
      }),
    );
    const current = held.flatMap(({ source }) => source.current ?? []);
    const [first] = current;
    if (first === undefined) return { issuerKeyId: "", bundle: "" };
    return { issuerKeyId: issuerKeyIdOf(first) ?? "", bundle: hash("sha256", first.trustBundlePem, "hex") };
  }

  stop(): void {
    for (const { source } of this.#held.values()) source.stop();
  }

  #hold(spiffeId: string): Held {
    const identity = parseSpiffeId(spiffeId)?.id;
    if (identity === undefined)
      throw new BulwarkError("BW_SPIFFE_ID_INVALID", `\`${spiffeId}\` is no SPIFFE ID`);
    const { sign, onWarning, onCertificate } = this.#options;
    const source = new SvidSource({
      identity,
      requestCertificate: (csr) => sign(csr, this.#podOf(spiffeId), spiffeId),
    });
    // One listener of each pod that has the identity.
    source.setMaxListeners(0);
    const certificate = new HeldCertificate(source, { prefix: spiffeId, onWarning, onCertificate });
    return { source, certificate, asked: source.start() };
  }

  #podOf(spiffeId: string): string {
    const pod = this.#pods.find((candidate) => candidate.spiffeId === spiffeId);
    if (pod !== undefined) return `${pod.namespace}/${pod.name}`;
    throw new BulwarkError("BW_ZTUNNEL_POD_GONE", `no pod of ${spiffeId} is left on this node`);
  }
}
