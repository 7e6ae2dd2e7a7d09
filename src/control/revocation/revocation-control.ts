import type { CertificateAuthority } from "../../identity/ca.ts";
import { CrlIssuer } from "../../identity/revocation/crl-issuer.ts";
import { OcspResponder } from "../../identity/revocation/ocsp-responder.ts";
import type { Revocation } from "../../identity/store/ca-store.ts";
import { type FlowDraft, nowRfc3339Nanos } from "../../model/flow-record.ts";
import type { SessionHolder } from "../../substrate/assignment.ts";
import type { ProxySessions } from "../proxy-sessions.ts";
import type { RotationDriver } from "../rotation/rotation-driver.ts";
import type { RpcHandler } from "../rpc.ts";
import { caMethods } from "./ca-methods.ts";
import { certificateStatus } from "./certificate-status.ts";
import { IntermediateRevocation } from "./intermediate-revocation.ts";
import type { RevocationEvent, RevocationUpdate } from "./messages.ts";
import { RevocationHttp } from "./revocation-http.ts";
import { RevocationService } from "./revocation-service.ts";

/** How revocation is kept up; all of it off or soft unless asked for. */
export interface RevocationChoice {
  /** After so long without word from control a proxy refuses every mesh handshake; 0: it goes on with what it knows. */
  readonly maxAgeMs?: number;
  /** Where CRLs and OCSP are served; nowhere by default. */
  readonly http?: { readonly host: string; readonly port: number };
}

export interface RevocationControlOptions extends RevocationChoice {
  readonly ca: CertificateAuthority;
  readonly rotation: Pick<RotationDriver, "rotate" | "report">;
  /** Key identifiers of the intermediates that other replicas sign with; by default there are none. */
  readonly otherIssuers?: () => ReadonlySet<string>;
  readonly sessions: () => Pick<ProxySessions, "pushRevocations" | "certificatesInUse" | "everUsed">;
  /** Pods and ztunnels. */
  readonly holders: () => readonly SessionHolder[];
  readonly tell: (event: RevocationEvent) => void;
  readonly record: (draft: Omit<FlowDraft, "reporter">) => void;
  readonly warn: (message: string) => void;
}

const LOOK_MS = 1000;
/** Lists are made anew at half of their hour. */
const ROOT_LISTS_MS = 300_000;

/** Revocation's part of a control plane: follows the store, tells proxies, subscribers and the flow log, and answers `bulwark ca`. */
export class RevocationControl {
  readonly #options: RevocationControlOptions;
  readonly #service: RevocationService;
  readonly #startedAtMs = Date.now();
  readonly #crls: CrlIssuer;
  readonly #intermediates: IntermediateRevocation;
  readonly #issuers = new Set<string>();
  #look: NodeJS.Timeout | undefined;
  #http: RevocationHttp | undefined;
  #url: string | undefined;
  #isTold = false;
  #isLooking = false;
  #isClosed = false;
  #rootListsDueMs = 0;

  constructor(options: RevocationControlOptions) {
    this.#options = options;
    this.#crls = new CrlIssuer({ store: options.ca.store, deltaUrl: (keyId) => this.#deltaUrl(keyId) });
    this.#service = new RevocationService({
      store: options.ca.store,
      push: (update) => options.sessions().pushRevocations(update),
      onRevoked: (revocations) => this.#tell(revocations),
      onProblem: (error) => this.#warnOnce(error),
      maxAgeMs: options.maxAgeMs ?? 0,
    });
    this.#intermediates = new IntermediateRevocation({
      ca: options.ca,
      store: options.ca.store,
      revocations: this.#service,
      rotation: options.rotation,
      onProblem: (error) => this.#warnOnce(error),
    });
  }

  /** Before any proxy may connect. @throws {BulwarkError} BW_CA_STORE_…, BW_REVOCATION_HTTP */
  async start(): Promise<void> {
    await this.#service.start();
    this.#seenIssuers();
    this.#look = setInterval(() => this.#lookAgain(), LOOK_MS);
    this.#look.unref();
    await this.#publish();
    this.#lookAgain();
  }

  /** One at a time: a revocation that was begun may wait for workloads. */
  #lookAgain(): void {
    this.#seenIssuers();
    if (this.#isLooking) return;
    this.#isLooking = true;
    void this.#intermediates
      .look()
      .then(() => this.#keepRootLists())
      .finally(() => {
        this.#isLooking = false;
      });
  }

  /** Roots' lists are made at the start and anew before they end, also where nobody asks: they may be copied from here to where the roots' keys are not. */
  async #keepRootLists(): Promise<void> {
    if (performance.now() < this.#rootListsDueMs) return;
    this.#rootListsDueMs = performance.now() + ROOT_LISTS_MS;
    try {
      for (const root of await this.#options.ca.rootSigners()) await this.#crls.current(root);
    } catch (error) {
      if (!this.#isClosed) this.#warnOnce(error);
    }
  }

  /** What revoked the intermediate that signed under this key. */
  authorityRevocation(keyId: string): Revocation | undefined {
    return this.#service.authorityRevocation(keyId);
  }

  /** A rotation deletes the key of an intermediate that has signed: that it did is remembered here. */
  #seenIssuers(): ReadonlySet<string> {
    for (const keyId of this.#options.otherIssuers?.() ?? []) this.#issuers.add(keyId);
    return this.#issuers.add(this.#options.ca.issuer.keyId);
  }

  async #publish(): Promise<void> {
    const { http, ca, tell } = this.#options;
    if (http === undefined) return;
    const onProblem = (error: unknown) => this.#warnOnce(error);
    const issuers = () => ca.signers();
    const roots = () => ca.rootSigners();
    const ocsp = new OcspResponder({ issuers, statusOf: certificateStatus(ca.store), onProblem });
    this.#http = new RevocationHttp({ ...http, issuers, roots, crls: this.#crls, ocsp, onProblem });
    const port = await this.#http.listen();
    this.#url = `http://${http.host.includes(":") ? `[${http.host}]` : http.host}:${port}`;
    tell({ kind: "revocation-http", url: this.#url });
  }

  #deltaUrl(keyId: string): string | undefined {
    return this.#url === undefined ? undefined : `${this.#url}/crl/${keyId}-delta.crl`;
  }

  /** What a proxy must know before it accepts anything. */
  get everything(): RevocationUpdate {
    return this.#service.everything;
  }

  get methods(): Readonly<Record<string, RpcHandler>> {
    const { ca, holders, tell, sessions } = this.#options;
    return caMethods({
      ca,
      crls: this.#crls,
      store: ca.store,
      revocations: this.#service,
      intermediates: this.#intermediates,
      holders,
      tell,
      inUse: () => sessions().certificatesInUse(),
      everUsed: () => sessions().everUsed,
      seenIssuers: () => this.#seenIssuers(),
      startedAtMs: this.#startedAtMs,
    });
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#look);
    this.#http?.close();
    this.#service.close();
  }

  #tell(revocations: readonly Revocation[]): void {
    this.#isTold = false;
    const { tell, record } = this.#options;
    for (const { serial, spiffeId, reason, by } of revocations)
      record({
        time: nowRfc3339Nanos(),
        kind: "revocation",
        source: { principal: spiffeId.slice("spiffe://".length) },
        verdict: "deny",
        layer: "ca",
        reason,
        tls: { peerSerial: serial.toUpperCase() },
        explanation: [`revoked by ${by}`],
      });
    tell({
      kind: "revoked",
      serials: revocations.map(({ serial }) => serial),
      identities: [...new Set(revocations.map(({ spiffeId }) => spiffeId))],
    });
  }

  /** Once for each outage: it is tried again all the time. */
  #warnOnce(error: unknown): void {
    if (this.#isTold) return;
    this.#isTold = true;
    const why = error instanceof Error ? error.message : String(error);
    this.#options.warn(`revocations cannot be followed or published as they should be: ${why}`);
  }
}
