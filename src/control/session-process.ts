import { join } from "node:path";
import { readFederatedDomains } from "../dataplane/federated-trust.ts";
import type { FlowBuffer } from "../telemetry/flow-buffer.ts";
import type { FlowLines } from "../telemetry/flow-spill.ts";
import { liveAsChild } from "./child-life.ts";
import { ControlLink, dialControl } from "./control-link.ts";
import { flowParams } from "./flow-params.ts";
import { type FederatedRoots, listField, type ProxyReport, type ProxyWelcome } from "./messages.ts";
import type { RevocationAnswer, RevocationUpdate } from "./revocation/messages.ts";
import type { TrustAnswer, TrustUpdate } from "./rotation/messages.ts";
import type { RpcHandler } from "./rpc.ts";
import { type StateFolder, stateFolderAt } from "./state-folder.ts";
import { readToken } from "./token-file.ts";

const REPORT_INTERVAL_MS = 1000;
const REQUEST_TIMEOUT_MS = 10_000;

/** What a session with control is about, from the first welcome to the end of the process. */
export interface SessionWork<Push> {
  readonly flows: Pick<FlowBuffer, "spillNow">;
  apply(push: Push): Promise<void>;
  takeFederation(domains: ReturnType<typeof readFederatedDomains>): void;
  /** @returns how many live connections were ended. */
  takeRevocations(update: RevocationUpdate): number;
  /** Settles when nothing of before is left. */
  follow(update: TrustUpdate): Promise<TrustAnswer>;
  report(): ProxyReport;
  close(): Promise<void>;
}

/** What the work has of its session. */
export interface SessionHandle {
  readonly spillDir: string;
  /** `sign` of control, by this process's token. */
  sign(csr: Buffer, more?: Readonly<Record<string, unknown>>): Promise<unknown>;
  sendFlows(lines: FlowLines): Promise<void>;
  /** Another certificate is in force, or none any more. */
  onCertificate(): void;
}

export interface SessionProcessOptions<Welcome, Push> {
  readonly statePath: string;
  /** `namespace/name` of whom the session is of: a pod, or a ztunnel. */
  readonly key: string;
  readonly start: (welcome: Welcome, session: SessionHandle) => SessionWork<Push>;
  /** What else control may call. */
  readonly handlers?: Readonly<Record<string, RpcHandler>>;
}

/**
 * Runs what has a session with control: says who it is, gets its configuration, revocations and trust in their order, reports, and goes on with what it has
 * while control is away.
 */
export class SessionProcess<
  Welcome extends Pick<ProxyWelcome, "federation" | "revocations">,
  Push extends { readonly version: number },
> {
  readonly link: ControlLink;
  readonly #options: SessionProcessOptions<Welcome, Push>;
  readonly #state: StateFolder;
  readonly #welcomed = Promise.withResolvers<SessionWork<Push>>();
  readonly #report: NodeJS.Timeout;
  #running: SessionWork<Push> | undefined;

  constructor(options: SessionProcessOptions<Welcome, Push>) {
    this.#options = options;
    this.#state = stateFolderAt(options.statePath);
    this.link = new ControlLink({ connect: () => this.#connect() });
    this.#report = setInterval(() => this.#tell(), REPORT_INTERVAL_MS);
    this.#report.unref();
    process.on("exit", () => this.#running?.flows.spillNow());
    liveAsChild(this.#state, () => this.#close());
  }

  async #close(): Promise<void> {
    clearInterval(this.#report);
    await this.#running?.close();
    this.link.close();
  }

  async #connect() {
    const peer = await dialControl(this.#state.controlSocket, {
      configure: (params) => this.#configure(params as Push),
      trust: (params) => this.#follow(params as TrustUpdate),
      revoked: async (params): Promise<RevocationAnswer> => ({
        cut: (await this.#welcomed.promise).takeRevocations(params as RevocationUpdate),
      }),
      federation: (params) =>
        this.#running?.takeFederation(
          readFederatedDomains(listField(params, "domains") as readonly FederatedRoots[]),
        ),
      ...this.#options.handlers,
    });
    try {
      const welcome = (await peer.request("hello", { token: this.#token() }, REQUEST_TIMEOUT_MS)) as Welcome;
      this.#running ??= this.#options.start(welcome, this.#handle());
      this.#running.takeFederation(readFederatedDomains(welcome.federation));
      // While it was away much may have been revoked; what it knows already changes nothing.
      this.#running.takeRevocations(welcome.revocations);
      this.#welcomed.resolve(this.#running);
      return peer;
    } catch (error) {
      peer.close();
      throw error;
    }
  }

  #handle(): SessionHandle {
    return {
      spillDir: join(this.#state.root, "spill", this.#options.key.replace("/", ".")),
      sign: (csr, more = {}) => {
        const params = { token: this.#token(), csr: csr.toString("base64"), ...more };
        return this.link.request("sign", params, REQUEST_TIMEOUT_MS);
      },
      sendFlows: async (lines) =>
        void (await this.link.requestJson("flows", flowParams(lines), REQUEST_TIMEOUT_MS)),
      onCertificate: () => this.#tell(),
    };
  }

  async #configure(push: Push): Promise<{ version: number }> {
    // The answer to `hello` and the first configuration can arrive in one piece.
    const running = await this.#welcomed.promise;
    await running.apply(push);
    // Ahead of the answer on the same connection: whoever hears that this process is ready can see its certificates.
    this.#tell();
    return { version: push.version };
  }

  async #follow(update: TrustUpdate): Promise<TrustAnswer> {
    const answer = await (await this.#welcomed.promise).follow(update);
    this.#tell();
    return answer;
  }

  #tell(): void {
    if (this.#running !== undefined) this.link.notify("stats", this.#running.report());
  }

  #token(): string {
    return readToken(this.#state, this.#options.key);
  }
}
