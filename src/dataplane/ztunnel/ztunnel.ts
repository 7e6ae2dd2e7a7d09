import type { SvidSource } from "../../identity/rotation.ts";
import type { FlowDraft } from "../../model/flow-record.ts";
import type { Mesh } from "../../model/mesh.ts";
import type { Placement } from "../../model/placement.ts";
import { withVirtualAddresses } from "../../model/virtual-addresses.ts";
import type { Semantics } from "../../policy/inbound.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { Deadlines } from "../deadlines.ts";
import type { FederatedDomain } from "../federated-trust.ts";
import type { ProxyCounters } from "../http-environment.ts";
import { DEFAULT_LIMITS, type Limits } from "../limits.ts";
import type { ProxyStats } from "../proxy-options.ts";
import { RevocationGuard, type RevocationNews } from "../revocation-guard.ts";
import { PodIdentity } from "./pod-identity.ts";
import { ServedPod, type ZtunnelShared } from "./served-pod.ts";
import type { PodSockets, ZtunnelPod } from "./ztunnel-pod.ts";
import { ztunnelReporter } from "./ztunnel-reporter.ts";
import { type ZtunnelSnapshot, ztunnelSnapshot } from "./ztunnel-snapshot.ts";

export interface ZtunnelOptions {
  /** Whose pods it stands before. */
  readonly node: string;
  readonly sockets: PodSockets;
  /** The source of a pod's certificates; pods of one identity may share one. It is not stopped here. */
  identityFor(pod: ZtunnelPod): SvidSource;
  readonly flows: { push(record: FlowDraft): void };
  /** Default `strict`: closed where Istio is known to fail open (docs/decisions.md). `istio`: for comparing with Istio only. */
  readonly semantics?: Semantics;
  /** Address of the cluster's DNS. */
  readonly upstreamDns: string;
  readonly limits?: Partial<Limits>;
  /** Problems of operation that no caller waits for. */
  readonly onWarning?: (message: string) => void;
}

export interface ZtunnelStats extends ProxyStats {
  readonly pods: number;
}

/**
 * The ztunnel of a node: stands before all pods of the node that are in ambient mode, each in its own network and under its own identity. Enforces whatever
 * snapshot it was given last; without one it listens to nobody.
 * @see ARCHITECTURE.md of istio/ztunnel
 */
export class Ztunnel {
  readonly #options: ZtunnelOptions;
  readonly #shared: ZtunnelShared;
  readonly #counters: ProxyCounters = { requests: 0, denied: 0, failed: 0 };
  readonly #deadlines = new Deadlines();
  readonly #pods = new Map<string, ServedPod>();
  readonly #identities: PodIdentity[] = [];
  #snapshot: ZtunnelSnapshot | undefined;
  /** Snapshots are applied one after the other, in the order given. */
  #applying: Promise<void> = Promise.resolve();
  #federated = "";
  #closed = false;

  constructor(options: ZtunnelOptions) {
    const { node, flows, sockets, limits, upstreamDns } = options;
    const reporter = ztunnelReporter(node);
    this.#options = options;
    this.#shared = {
      reporter,
      podSockets: sockets,
      flows,
      deadlines: this.#deadlines,
      limits: { ...DEFAULT_LIMITS, ...limits },
      counters: this.#counters,
      revocations: new RevocationGuard({
        reporter,
        flows,
        workloadAt: (address) => this.#snapshot?.directory.byAddress.get(address)?.key,
      }),
      upstreamDns,
      snapshot: () => this.#snapshot,
    };
  }

  /**
   * Enforces this snapshot for these pods, all of the node's that there are, from now on; connections that stay permitted go on, those of pods that are gone
   * end. Resolves when every listener stands.
   * @throws {BulwarkError} BW_PROXY_BAD_TRUST_DOMAIN: what was in force before still is. BW_LISTEN_FAILED: for the pods that it names; the others are served.
   */
  apply(mesh: Mesh, placement: Placement, pods: readonly ZtunnelPod[]): Promise<void> {
    const applied = this.#applying.then(() => this.#apply(mesh, placement, pods));
    this.#applying = applied.catch(() => {});
    return applied;
  }

  /** Trust domains that the mesh is federated with: sidecars and gateways know of them, ztunnel takes nobody but the mesh's own (docs/ambient.md). */
  federate(domains: readonly FederatedDomain[]): void {
    const names = domains.map(({ trustDomain }) => trustDomain).join(", ");
    if (names !== "" && names !== this.#federated)
      this.#options.onWarning?.(`in ambient mode nobody of another trust domain is taken: ${names}`);
    this.#federated = names;
  }

  /**
   * Refuses what is revoked from now on, and ends what stands on it. All that is known must have come before the first {@link apply}.
   * @returns how many live connections were ended.
   */
  takeRevocations(news: RevocationNews): number {
    const cut = this.#shared.revocations.take(news);
    for (const identity of this.#identities) identity.discardRevoked();
    return cut;
  }

  /** Settles when no handshake is under way that began with a certificate, or trust, of before: after the limit on connecting at the latest. */
  async untilOldHandshakesEnded(): Promise<void> {
    await Promise.all(this.#identities.map((identity) => identity.untilOldHandshakesEnded()));
  }

  stats(): ZtunnelStats {
    return { pods: this.#pods.size, openConnections: this.#openConnections, ...this.#counters };
  }

  /** Stops listening, lets connections end for `graceMs`, then closes what is left. */
  async close(graceMs: number): Promise<void> {
    this.#closed = true;
    await this.#applying;
    const pods = [...this.#pods.values()];
    await Promise.all(pods.map((pod) => pod.stopListening()));
    const untilMs = performance.now() + graceMs;
    while (this.#openConnections > 0 && performance.now() < untilMs)
      await new Promise((resolve) => setTimeout(resolve, 20));
    for (const pod of pods) pod.close();
    this.#pods.clear();
    this.#forgetIdentities();
    this.#deadlines.close();
  }

  get #openConnections(): number {
    let open = 0;
    for (const pod of this.#pods.values()) open += pod.openConnections;
    return open;
  }

  async #apply(mesh: Mesh, placement: Placement, pods: readonly ZtunnelPod[]): Promise<void> {
    if (this.#closed) return;
    const { semantics = "strict" } = this.#options;
    const snapshot = ztunnelSnapshot(withVirtualAddresses(mesh, placement), placement, semantics);
    for (const { workload } of pods) {
      const known = snapshot.directory.workloads.get(workload);
      if (known !== undefined) snapshot.policies.ambient(known);
    }
    // Nothing above may fail once anything below has taken effect: a ztunnel never enforces half a snapshot.
    this.#snapshot = snapshot;
    const wanted = new Map(
      pods.filter((pod) => this.#isAmbient(snapshot, pod)).map((pod) => [idOf(pod), pod]),
    );
    for (const [id, served] of this.#pods) {
      if (wanted.has(id)) continue;
      served.close();
      this.#pods.delete(id);
    }
    for (const served of this.#pods.values()) served.recheck();
    const failures: string[] = [];
    for (const [id, pod] of wanted) if (!this.#pods.has(id)) this.#serve(id, pod, failures);
    this.#forgetIdentities();
    await this.#listen(failures);
    if (failures.length > 0) throw new BulwarkError("BW_LISTEN_FAILED", failures.join("; "));
  }

  #isAmbient({ directory }: ZtunnelSnapshot, { workload, name, namespace }: ZtunnelPod): boolean {
    const known = directory.workloads.get(workload);
    if (known?.dataplane === "ambient" && known.role === "application") return true;
    this.#options.onWarning?.(
      `pod ${namespace}/${name} is not served: the mesh has ${known === undefined ? "no workload" : "nothing in ambient mode as"} ${workload}`,
    );
    return false;
  }

  /** One pod that cannot be served leaves the others as they are. */
  #serve(id: string, pod: ZtunnelPod, failures: string[]): void {
    try {
      this.#pods.set(id, new ServedPod(pod, this.#identityOf(pod), this.#shared));
    } catch (error) {
      failures.push(failureOf(pod, error));
    }
  }

  #identityOf(pod: ZtunnelPod): PodIdentity {
    const source = this.#options.identityFor(pod);
    const { spiffeId } = pod;
    let identity = this.#identities.find((held) => held.source === source && held.spiffeId === spiffeId);
    if (identity === undefined) {
      const onWarning = (message: string) => this.#options.onWarning?.(message);
      identity = new PodIdentity({ spiffeId, source, revocations: this.#shared.revocations, onWarning });
      this.#identities.push(identity);
    }
    return identity;
  }

  /** Keys of pods that are gone. */
  #forgetIdentities(): void {
    const left = this.#identities.filter(({ isWatched }) => !isWatched);
    for (const identity of left) {
      identity.close();
      this.#identities.splice(this.#identities.indexOf(identity), 1);
    }
  }

  async #listen(failures: string[]): Promise<void> {
    for (const served of this.#pods.values())
      await served.listen().catch((error: unknown) => failures.push(failureOf(served.pod, error)));
  }
}

function failureOf({ namespace, name }: ZtunnelPod, error: unknown): string {
  return `${namespace}/${name}: ${error instanceof Error ? error.message : String(error)}`;
}

/** Anything of it that is another makes another pod: its listeners and keys are those of before. */
function idOf({
  uid,
  netns,
  namespace,
  name,
  spiffeId,
  workload,
  address,
  address6 = "",
}: ZtunnelPod): string {
  return [uid, netns, namespace, name, spiffeId, workload, address, address6].join("|");
}
