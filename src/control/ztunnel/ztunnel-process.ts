import { join } from "node:path";
import { readFederatedDomains } from "../../dataplane/federated-trust.ts";
import { liveAsChild, warn } from "../child-life.ts";
import { ControlLink, dialControl } from "../control-link.ts";
import { flowParams } from "../flow-params.ts";
import {
  type FederatedRoots,
  listField,
  type SignAnswer,
  type ZtunnelConfigurationPush,
  type ZtunnelWelcome,
} from "../messages.ts";
import type { RevocationAnswer, RevocationUpdate } from "../revocation/messages.ts";
import type { TrustAnswer, TrustUpdate } from "../rotation/messages.ts";
import { type StateFolder, stateFolderAt } from "../state-folder.ts";
import { readToken } from "../token-file.ts";
import { RunningZtunnel } from "./running-ztunnel.ts";

export interface ZtunnelProcessOptions {
  readonly statePath: string;
  /** `namespace/name` of the ztunnel. */
  readonly ztunnel: string;
}

const REPORT_INTERVAL_MS = 1000;
const REQUEST_TIMEOUT_MS = 10_000;

/**
 * Runs the ztunnel of one node, as the machine's root in a network of its own: its sockets are inside of the pods. Goes on with what it has while control
 * is away.
 */
export function runZtunnelProcess(options: ZtunnelProcessOptions): void {
  const state = stateFolderAt(options.statePath);
  const own = new ZtunnelProcess(state, options.ztunnel);
  liveAsChild(state, () => own.close());
}

class ZtunnelProcess {
  readonly #state: StateFolder;
  readonly #key: string;
  readonly #link: ControlLink;
  readonly #welcomed = Promise.withResolvers<RunningZtunnel>();
  readonly #report: NodeJS.Timeout;
  #running: RunningZtunnel | undefined;

  constructor(state: StateFolder, key: string) {
    this.#state = state;
    this.#key = key;
    this.#link = new ControlLink({ connect: () => this.#connect() });
    this.#report = setInterval(() => this.#tell(), REPORT_INTERVAL_MS);
    this.#report.unref();
    process.on("exit", () => this.#running?.flows.spillNow());
  }

  async close(): Promise<void> {
    clearInterval(this.#report);
    await this.#running?.close();
    this.#link.close();
  }

  async #connect() {
    const peer = await dialControl(this.#state.controlSocket, {
      configure: (params) => this.#configure(params as ZtunnelConfigurationPush),
      trust: (params) => this.#follow(params as TrustUpdate),
      revoked: async (params): Promise<RevocationAnswer> => ({
        cut: (await this.#welcomed.promise).takeRevocations(params as RevocationUpdate),
      }),
      federation: (params) =>
        this.#running?.takeFederation(
          readFederatedDomains(listField(params, "domains") as readonly FederatedRoots[]),
        ),
    });
    try {
      const welcome = (await peer.request(
        "hello",
        { token: this.#token() },
        REQUEST_TIMEOUT_MS,
      )) as ZtunnelWelcome;
      this.#running ??= this.#start(welcome);
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

  #start({ ztunnel }: ZtunnelWelcome): RunningZtunnel {
    return new RunningZtunnel({
      node: ztunnel.node,
      spillDir: join(this.#state.root, "spill", this.#key.replace("/", ".")),
      sign: async (csr, pod, identity) =>
        (await this.#link.request(
          "sign",
          { token: this.#token(), csr: csr.toString("base64"), pod, identity },
          REQUEST_TIMEOUT_MS,
        )) as SignAnswer,
      sendFlows: async (lines) =>
        void (await this.#link.requestJson("flows", flowParams(lines), REQUEST_TIMEOUT_MS)),
      onWarning: warn,
      onCertificate: () => this.#tell(),
    });
  }

  async #configure(push: ZtunnelConfigurationPush): Promise<{ version: number }> {
    // The answer to `hello` and the first configuration can arrive in one piece.
    const running = await this.#welcomed.promise;
    await running.apply(push);
    // Ahead of the answer on the same connection: whoever hears that this ztunnel is ready can see its certificates.
    this.#tell();
    return { version: push.version };
  }

  async #follow(update: TrustUpdate): Promise<TrustAnswer> {
    const answer = await (await this.#welcomed.promise).follow(update);
    this.#tell();
    return answer;
  }

  #tell(): void {
    if (this.#running !== undefined) this.#link.notify("stats", this.#running.report());
  }

  #token(): string {
    return readToken(this.#state, this.#key);
  }
}
