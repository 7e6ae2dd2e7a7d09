import type { CertificateAuthority } from "../identity/ca.ts";
import {
  CA_AUDIENCE,
  type TokenTrust,
  type VerifiedToken,
  verifyServiceAccountToken,
} from "../identity/service-account-token.ts";
import { type FlowDraft, nowRfc3339Nanos } from "../model/flow-record.ts";
import { type SpiffeId, workloadSpiffeId } from "../model/spiffe-id.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { type PodAssignment, podKey } from "../substrate/assignment.ts";
import type { SignAnswer } from "./messages.ts";

/** Who reports what the CA does, in the flow log. */
export const CA_REPORTER = "bulwark/ca";

export interface CertificateServiceOptions {
  readonly ca: CertificateAuthority;
  readonly trust: TokenTrust;
  /** The pods that live now: the token of another is refused. */
  readonly pods: () => readonly PodAssignment[];
  readonly ttlSeconds: number;
  readonly record: (draft: FlowDraft) => void;
  readonly onIssued: (pod: PodAssignment, serial: string, notAfter: Date) => void;
  readonly onRefused: (code: string, message: string) => void;
}

/** The CA as proxies reach it: authenticates the token, then signs for the identity in the token and no other. */
export class CertificateService {
  readonly #options: CertificateServiceOptions;
  #issued = 0;
  #refused = 0;

  constructor(options: CertificateServiceOptions) {
    this.#options = options;
  }

  get counts(): { readonly issued: number; readonly refused: number } {
    return { issued: this.#issued, refused: this.#refused };
  }

  /**
   * The live pod that a token belongs to.
   * @throws {BulwarkError} BW_TOKEN_…; the refusal is counted and logged.
   */
  async authenticate(token: string): Promise<PodAssignment> {
    try {
      return await this.#verify(token);
    } catch (error) {
      throw this.#refuse(error, undefined);
    }
  }

  /**
   * A certificate was asked for on a connection that has not said who it is.
   * @throws {BulwarkError} BW_CA_NO_HELLO always; counted and logged, with the pod's name where the token is one's.
   */
  async refuseUnnamed(token: string): Promise<never> {
    const pod = await this.#verify(token).catch(() => undefined);
    throw this.#refuse(
      new BulwarkError(
        "BW_CA_NO_HELLO",
        "a certificate was asked for on a connection that did not say hello",
      ),
      pod,
    );
  }

  /** BW_SESSION_TAKEN, counted and logged: who shows a pod's token is not its proxy while another connection is. */
  refuseSession(pod: PodAssignment): unknown {
    return this.#refuse(
      new BulwarkError("BW_SESSION_TAKEN", `another connection is the proxy of ${podKey(pod)}, and lives`),
      pod,
    );
  }

  async #verify(token: string): Promise<PodAssignment> {
    const verified = await verifyServiceAccountToken(token, this.#options.trust, {
      audience: CA_AUDIENCE,
      isPodLive: (subject) => this.#podOf(subject) !== undefined,
    });
    const pod = this.#podOf(verified);
    if (pod === undefined) throw new BulwarkError("BW_TOKEN_POD_GONE", "the token's pod is gone");
    return pod;
  }

  /**
   * Signs a request.
   * @param expected the pod that the connection has shown to be: a second pod's token is of no use on it.
   * @throws {BulwarkError} BW_TOKEN_…, BW_CA_…, BW_CSR_…; refusals are counted and logged.
   */
  async sign(token: string, csr: Buffer, expected: PodAssignment): Promise<SignAnswer> {
    const pod = await this.authenticate(token);
    if (podKey(pod) !== podKey(expected)) {
      throw this.#refuse(
        new BulwarkError("BW_TOKEN_CLAIMS", "the token belongs to another pod than the connection"),
        pod,
      );
    }
    try {
      return await this.#issue(csr, pod);
    } catch (error) {
      throw this.#refuse(error, pod);
    }
  }

  /**
   * Signs for a pod that was attested by something other than a token, such as the socket on which its application asks.
   * @throws {BulwarkError} BW_TOKEN_POD_GONE, BW_CA_…, BW_CSR_…; refusals are counted and logged.
   */
  async signAttested(csr: Buffer, pod: PodAssignment): Promise<SignAnswer> {
    try {
      if (this.#options.pods().every(({ uid }) => uid !== pod.uid))
        throw new BulwarkError("BW_TOKEN_POD_GONE", "the pod that asks is gone");
      return await this.#issue(csr, pod);
    } catch (error) {
      throw this.#refuse(error, pod);
    }
  }

  async #issue(csr: Buffer, pod: PodAssignment): Promise<SignAnswer> {
    const { ca, ttlSeconds, onIssued } = this.#options;
    const verifiedIdentity = this.#identityOf(pod);
    const issued = await ca.issue({ csr, verifiedIdentity, ttlSeconds });
    this.#issued++;
    onIssued(pod, issued.serial, issued.notAfter);
    this.#options.record({
      ...this.#draft(pod),
      kind: "rotation",
      verdict: "allow",
      tls: { peerSerial: issued.serial.toUpperCase() },
    });
    const { chainPem, trustBundlePem, notBefore, notAfter } = issued;
    return {
      chainPem,
      trustBundlePem,
      notBefore: notBefore.toISOString(),
      notAfter: notAfter.toISOString(),
    };
  }

  #identityOf(pod: PodAssignment): SpiffeId {
    return workloadSpiffeId(this.#options.ca.trustDomain, pod.namespace, pod.serviceAccount);
  }

  #podOf({ namespace, pod, serviceAccount }: Pick<VerifiedToken, "namespace" | "pod" | "serviceAccount">) {
    return this.#options
      .pods()
      .find(
        (candidate) =>
          candidate.uid === pod.uid &&
          candidate.name === pod.name &&
          candidate.namespace === namespace &&
          candidate.serviceAccount === serviceAccount.name,
      );
  }

  #refuse(error: unknown, pod: PodAssignment | undefined): unknown {
    if (!(error instanceof BulwarkError)) return error;
    this.#refused++;
    this.#options.onRefused(error.code, error.message);
    this.#options.record({
      ...this.#draft(pod),
      kind: "decision",
      verdict: "deny",
      layer: "ca",
      reason: error.code,
      explanation: [error.message],
    });
    return error;
  }

  #draft(pod: PodAssignment | undefined): Pick<FlowDraft, "time" | "reporter" | "source"> {
    const source =
      pod === undefined
        ? undefined
        : {
            workload: pod.workload,
            principal: this.#identityOf(pod).slice("spiffe://".length),
            ip: pod.address,
          };
    return { time: nowRfc3339Nanos(), reporter: CA_REPORTER, source };
  }
}
