import {
  authenticateCaller,
  type CallerAuthentication,
  identityBlocked,
} from "../identity/authentication/authenticate-caller.ts";
import type { AuthenticatedCaller, Credentials } from "../identity/authentication/caller.ts";
import { refuseForeignWishes } from "../identity/authentication/csr-wishes.ts";
import { authorizeImpersonation, type NodeAgentOptions } from "../identity/authentication/node-agent.ts";
import { type BucketOptions, TokenBuckets } from "../identity/authentication/token-buckets.ts";
import type { CertificateAuthority, IssuedCertificate } from "../identity/ca.ts";
import type { CaStore } from "../identity/store/ca-store.ts";
import type { FlowDraft } from "../model/flow-record.ts";
import { type SpiffeId, workloadSpiffeId } from "../model/spiffe-id.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { type PodAssignment, podKey, type SessionHolder } from "../substrate/assignment.ts";
import { CaJournalist, type CaSubject } from "./ca-journalist.ts";
import type { SignAnswer } from "./messages.ts";

/** What the CA reads and writes of its records when it decides whether to sign. */
export type CaRecords = Pick<CaStore, "issued" | "revocationOf" | "cutoffOf" | "audit">;

export interface CertificateLimits {
  /** Certificates for one identity, by one caller: a pod where it shows a token, else an identity. */
  readonly perIdentity?: BucketOptions;
  /** Requests from one address, before anything in them is looked at. */
  readonly perAddress?: BucketOptions;
}

export interface CertificateServiceOptions {
  readonly ca: CertificateAuthority;
  readonly records: CaRecords;
  readonly authentication: CallerAuthentication;
  readonly nodeAgents: Pick<NodeAgentOptions, "accounts" | "livePods">;
  readonly limits?: CertificateLimits;
  /** The pods that live now, and ztunnels. */
  readonly holders: () => readonly SessionHolder[];
  /** For requests that name no lifetime; 0: the CA's default. */
  readonly ttlSeconds: number;
  readonly record: (draft: FlowDraft) => void;
  readonly onIssued: (identity: SpiffeId, pod: SessionHolder | undefined, issued: IssuedCertificate) => void;
  readonly onRefused: (code: string, message: string) => void;
  /** The audit could not be written. */
  readonly onProblem: (error: unknown) => void;
}

export interface CertificateRequest {
  readonly credentials: Credentials;
  /** PKCS#10 in DER; asked for once the caller is known. */
  readonly csr: () => Buffer;
  /** 0 or less: the default. */
  readonly ttlSeconds: number;
  /** The identity that a node agent wants, as it wrote it. */
  readonly impersonate: string | undefined;
}

/** Far above what rotation needs at the shortest lifetime, 2 s, and room for a node agent's whole node after its restart. */
const PER_IDENTITY: BucketOptions = { ratePerSecond: 20, burst: 100 };
const PER_ADDRESS: BucketOptions = { ratePerSecond: 100, burst: 400 };

/** The CA as all its callers reach it: authenticate → authorize → limit → issue → audit, and the identity is never the request's to choose. */
export class CertificateService {
  readonly #options: CertificateServiceOptions;
  readonly #journalist: CaJournalist;
  readonly #perIdentity: TokenBuckets;
  readonly #perAddress: TokenBuckets;

  constructor(options: CertificateServiceOptions) {
    this.#options = options;
    this.#journalist = new CaJournalist(options);
    this.#perIdentity = new TokenBuckets(options.limits?.perIdentity ?? PER_IDENTITY);
    this.#perAddress = new TokenBuckets(options.limits?.perAddress ?? PER_ADDRESS);
  }

  get counts(): { readonly issued: number; readonly refused: number } {
    return this.#journalist.counts;
  }

  /**
   * The live pod, or ztunnel, that a token belongs to.
   * @throws {BulwarkError} BW_TOKEN_…; the refusal is counted and logged.
   */
  async authenticate(token: string): Promise<SessionHolder> {
    try {
      return (await this.#tokenPod(token)).pod;
    } catch (error) {
      throw await this.#journalist.refused(error, {});
    }
  }

  /**
   * A certificate was asked for on a connection that has not said who it is.
   * @throws {BulwarkError} BW_CA_NO_HELLO always; counted and logged, with the pod's name where the token is one's.
   */
  async refuseUnnamed(token: string): Promise<never> {
    const named = await this.#tokenPod(token).catch(() => undefined);
    const message = "a certificate was asked for on a connection that did not say hello";
    throw await this.#journalist.refused(new BulwarkError("BW_CA_NO_HELLO", message), named ?? {});
  }

  /** BW_SESSION_TAKEN, counted and logged: who shows a pod's token is not its proxy while another connection is. */
  refuseSession(pod: SessionHolder): Promise<unknown> {
    const message = `another connection is the proxy of ${podKey(pod)}, and lives`;
    return this.#journalist.refused(new BulwarkError("BW_SESSION_TAKEN", message), {
      pod,
      identity: this.#identityOf(pod),
    });
  }

  /** BW_SESSION_NO_PROXY, counted and logged: the token is of a pod that has no proxy of its own. */
  refuseWithoutProxy(pod: SessionHolder): Promise<unknown> {
    const message = `${podKey(pod)} has no proxy of its own`;
    const subject = { pod, identity: this.#identityOf(pod) };
    return this.#journalist.refused(new BulwarkError("BW_SESSION_NO_PROXY", message), subject);
  }

  /**
   * Signs a request.
   * @param expected the pod that the connection has shown to be: a second pod's token is of no use on it.
   * @throws {BulwarkError} BW_TOKEN_…, BW_CA_…, BW_CSR_…; refusals are counted and logged.
   */
  async sign(token: string, csr: Buffer, expected: SessionHolder): Promise<SignAnswer> {
    const request = { credentials: tokenOnly(token), csr: () => csr, ttlSeconds: 0, impersonate: undefined };
    return signAnswer(await this.#create(request, expected));
  }

  /**
   * Signs for a pod on whose socket its application asks.
   * @param token the pod's own, as it is now: a socket is worth as much and no more, so that what cuts tokens off cuts it off.
   * @throws {BulwarkError} BW_TOKEN_…, BW_CA_… (BW_CA_RATE_LIMIT), BW_CSR_…; refusals are counted and logged.
   */
  async signAttested(csr: Buffer, pod: PodAssignment, token: () => string): Promise<SignAnswer> {
    const subject: CaSubject = { pod, identity: this.#identityOf(pod), method: "workload-api" };
    try {
      return await this.#signFor(csr, pod, token, subject);
    } catch (error) {
      throw await this.#journalist.refused(error, subject);
    }
  }

  /**
   * Signs for an ambient pod, as its node's ztunnel asks. The ztunnel shows its own token, and the pod has to stand by its own, which never leaves the
   * control plane: what cuts either off ends this.
   * @param choose the pod; throws where the ztunnel may not speak for what it asks.
   * @param podToken the pod's own, as it is now.
   * @throws {BulwarkError} BW_TOKEN_…, BW_CA_… (BW_CA_IMPERSONATION_…, BW_CA_RATE_LIMIT), BW_CSR_…; refusals are counted and logged.
   */
  async signOnBehalf(
    csr: Buffer,
    ztunnel: SessionHolder,
    token: string,
    choose: () => PodAssignment,
    podToken: (pod: PodAssignment) => string,
  ): Promise<SignAnswer> {
    let subject: CaSubject = { pod: ztunnel, caller: this.#identityOf(ztunnel), method: "ztunnel" };
    try {
      const caller = await authenticateCaller(tokenOnly(token), this.#options.authentication);
      if (this.#subjectOf(caller).pod?.uid !== ztunnel.uid)
        throw new BulwarkError("BW_TOKEN_CLAIMS", "the token belongs to another pod than the connection");
      const pod = choose();
      subject = { ...subject, pod, identity: this.#identityOf(pod) };
      return await this.#signFor(csr, pod, () => podToken(pod), subject);
    } catch (error) {
      throw await this.#journalist.refused(error, subject);
    }
  }

  async #signFor(
    csr: Buffer,
    pod: PodAssignment,
    token: () => string,
    subject: CaSubject,
  ): Promise<SignAnswer> {
    const attested = await authenticateCaller(tokenOnly(token()), this.#options.authentication);
    if (this.#subjectOf(attested).pod?.uid !== pod.uid)
      throw new BulwarkError("BW_TOKEN_POD_GONE", "the pod that is asked for is gone");
    this.#limit(`${subject.method} ${pod.uid}`);
    refuseForeignWishes(csr, this.#identityOf(pod));
    return signAnswer(await this.#issue(csr, 0, this.#identityOf(pod), subject, attested.issuedAtMs));
  }

  /**
   * Signs for whom the credentials prove the caller to be, or, for a node agent, for a pod on its node.
   * @throws {BulwarkError} those of `authenticateCaller`, `authorizeImpersonation`, `refuseForeignWishes` and the CA; BW_CA_RATE_LIMIT.
   * Refusals are counted and logged.
   */
  create(request: CertificateRequest): Promise<IssuedCertificate> {
    return this.#create(request, undefined);
  }

  /** A request that cannot be read, or a connection that made none; counted and logged, and as any other of its address's. @returns the error, for throwing it. */
  refuseMalformed(error: unknown, address: string | undefined): Promise<unknown> {
    try {
      this.#limitAddress(address);
    } catch (tooOften) {
      return this.#journalist.refused(tooOften, { address });
    }
    return this.#journalist.refused(error, { address });
  }

  async #create(
    request: CertificateRequest,
    expected: SessionHolder | undefined,
  ): Promise<IssuedCertificate> {
    let subject: CaSubject = { address: request.credentials.peerAddress };
    try {
      this.#limitAddress(request.credentials.peerAddress);
      const caller = await authenticateCaller(request.credentials, this.#options.authentication);
      subject = { ...subject, ...this.#subjectOf(caller) };
      if (expected !== undefined && subject.pod?.uid !== expected.uid)
        throw new BulwarkError("BW_TOKEN_CLAIMS", "the token belongs to another pod than the connection");
      const identity = await this.#authorize(caller, request.impersonate);
      subject = {
        ...subject,
        identity,
        ...(request.impersonate === undefined ? {} : { method: "node-agent" }),
      };
      this.#limitIdentity(caller, identity);
      const csr = request.csr();
      refuseForeignWishes(csr, identity);
      const ttlSeconds = this.#ttlSeconds(request.ttlSeconds, caller);
      return await this.#issue(csr, ttlSeconds, identity, subject, caller.issuedAtMs);
    } catch (error) {
      throw await this.#journalist.refused(error, subject);
    }
  }

  /** @param proofIssuedAtMs when that was made by which the caller is known; undefined: it is known now. */
  async #issue(
    csr: Buffer,
    ttlSeconds: number,
    identity: SpiffeId,
    subject: CaSubject,
    proofIssuedAtMs: number | undefined,
  ): Promise<IssuedCertificate> {
    const { ca, onIssued } = this.#options;
    const issued = await ca.issue({
      csr,
      verifiedIdentity: identity,
      ttlSeconds: ttlSeconds > 0 ? ttlSeconds : this.#options.ttlSeconds,
      ...(subject.method === undefined ? {} : { method: subject.method }),
      ...(proofIssuedAtMs === undefined ? {} : { proofIssuedAtMs }),
    });
    await this.#journalist.issued(issued, subject);
    onIssued(identity, subject.pod, issued);
    return issued;
  }

  /**
   * What a caller with a limit of its own is given: as at the CA's own, an error above it, and at most that where it names none.
   * @throws {BulwarkError} BW_CA_TTL_TOO_LONG
   */
  #ttlSeconds(asked: number, { maxTtlSeconds }: AuthenticatedCaller): number {
    if (maxTtlSeconds === undefined) return asked;
    if (asked <= 0) {
      const { ca, ttlSeconds } = this.#options;
      return Math.min(ttlSeconds > 0 ? ttlSeconds : ca.defaultTtlSeconds, maxTtlSeconds);
    }
    if (asked <= maxTtlSeconds) return asked;
    const message = `a certificate of ${asked} s is asked for, above the maximum of ${maxTtlSeconds} s for this caller`;
    throw new BulwarkError("BW_CA_TTL_TOO_LONG", message, {
      detail: { ttlSeconds: asked, maxTtlSeconds },
    });
  }

  async #authorize(caller: AuthenticatedCaller, impersonate: string | undefined): Promise<SpiffeId> {
    if (impersonate === undefined) return caller.spiffeId;
    const { ca, nodeAgents, authentication } = this.#options;
    const options = { ...nodeAgents, trustDomain: ca.trustDomain };
    const identity = authorizeImpersonation(caller, impersonate, options);
    const cutoff = await authentication.records.cutoffOf(identity);
    if (cutoff?.block !== undefined) throw identityBlocked(identity);
    if (cutoff !== undefined && caller.issuedAtMs < cutoff.beforeMs) {
      const message = "the node agent's token is older than the revocation of the identity that it asks for";
      throw new BulwarkError("BW_CA_CREDENTIAL_CUT_OFF", message);
    }
    return identity;
  }

  async #tokenPod(token: string): Promise<CaSubject & { readonly pod: SessionHolder }> {
    const caller = await authenticateCaller(tokenOnly(token), this.#options.authentication);
    const subject = this.#subjectOf(caller);
    if (subject.pod === undefined) throw new BulwarkError("BW_TOKEN_POD_GONE", "the token's pod is gone");
    return { ...subject, pod: subject.pod };
  }

  #subjectOf({ spiffeId, method, pod }: AuthenticatedCaller): CaSubject {
    const uid = pod?.pod.uid;
    const assignment =
      uid === undefined ? undefined : this.#options.holders().find((candidate) => candidate.uid === uid);
    const isIts = assignment !== undefined && this.#identityOf(assignment) === spiffeId;
    return { caller: spiffeId, identity: spiffeId, method, ...(isIts ? { pod: assignment } : {}) };
  }

  #limitAddress(address: string | undefined): void {
    if (address === undefined) return;
    const answer = this.#perAddress.take(address);
    if (!answer.allowed) throw tooMany("requests come from this address", answer);
  }

  /** By caller as well, and by pod where that is known: who asks too often takes nothing from the others of the identity. */
  #limitIdentity({ spiffeId, pod }: AuthenticatedCaller, identity: SpiffeId): void {
    this.#limit(`${spiffeId} ${pod?.pod.uid ?? ""} ${identity}`);
  }

  #limit(caller: string): void {
    const answer = this.#perIdentity.take(caller);
    if (!answer.allowed) throw tooMany("certificates are asked for this identity", answer);
  }

  #identityOf(pod: SessionHolder): SpiffeId {
    return workloadSpiffeId(this.#options.ca.trustDomain, pod.namespace, pod.serviceAccount);
  }
}

function tokenOnly(bearerToken: string): Credentials {
  return { bearerToken, certificate: undefined, peerAddress: undefined };
}

function tooMany(what: string, answer: { readonly tell: boolean; readonly untold: number }): BulwarkError {
  return new BulwarkError("BW_CA_RATE_LIMIT", `too many ${what}`, { detail: answer });
}

function signAnswer(issued: IssuedCertificate): SignAnswer {
  const { serial, chainPem, trustBundlePem, notBefore, notAfter } = issued;
  return {
    serial,
    chainPem,
    trustBundlePem,
    notBefore: notBefore.toISOString(),
    notAfter: notAfter.toISOString(),
  };
}
