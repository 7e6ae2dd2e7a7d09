import type { StatusReport } from "../../control/messages.ts";
import type { CaReport } from "../../control/revocation/messages.ts";
import type { RpcPeer } from "../../control/rpc.ts";
import { type PodAssignment, podKey } from "../../substrate/assignment.ts";
import type { RunningMeshUnderAttack } from "../running-mesh.ts";
import { principalOf } from "../targets.ts";
import { type SuspiciousUse, suspiciousUses } from "./suspicious-uses.ts";

const ADMIN_TIMEOUT_MS = 30_000;
/** `ca.status` lists so many of the newest certificates. */
const CERTIFICATES = 1000;

/** One identity of a running mesh, as its defenders see it: who should use it, and who does. */
export class WatchedIdentity {
  readonly pods: readonly PodAssignment[];
  readonly #spiffeId: string;
  readonly #mesh: RunningMeshUnderAttack;
  readonly #admin: RpcPeer;
  /** Serials that its proxies have said they use, upper-case hexadecimal. */
  readonly #serials = new Set<string>();

  constructor(mesh: RunningMeshUnderAttack, admin: RpcPeer, spiffeId: string) {
    this.#mesh = mesh;
    this.#admin = admin;
    this.#spiffeId = spiffeId;
    this.pods = mesh.assignments.pods.filter((pod) => pod.spiffeId === spiffeId);
  }

  get knownSerials(): ReadonlySet<string> {
    return this.#serials;
  }

  /** @throws {BulwarkError} the control plane's refusal. */
  ask(method: string, params: unknown): Promise<unknown> {
    return this.#admin.request(method, params, ADMIN_TIMEOUT_MS);
  }

  /** What its proxies use now, upper-case hexadecimal. Remembered. */
  async serialsInUse(): Promise<readonly string[]> {
    const own = new Set(this.pods.map(podKey));
    const { pods } = (await this.ask("status", {})) as StatusReport;
    const serials = pods.flatMap(({ pod, report }) => {
      const serial = report?.certificate?.serial;
      return own.has(pod) && serial !== undefined ? [serial.toUpperCase()] : [];
    });
    for (const serial of serials) this.#serials.add(serial);
    return serials;
  }

  /** Uses that none of its pods can have made, in the flow log. */
  async suspiciousUses(since: Date): Promise<readonly SuspiciousUse[]> {
    await this.serialsInUse();
    const [pod] = this.pods;
    if (pod === undefined) return [];
    const filter = ["--kind", "handshake", "--direction", "inbound", "--since", since.toISOString()];
    return suspiciousUses(await this.#mesh.records(filter), {
      principal: principalOf(pod),
      addresses: new Set(this.pods.map(({ address }) => address)),
      serials: this.#serials,
    });
  }

  /** Whether the CA raises an alarm about this certificate. */
  async isAlertedOf(serial: string): Promise<boolean> {
    const { alerts } = (await this.ask("ca.status", { limit: CERTIFICATES })) as CaReport;
    return alerts.some(
      ({ kind, identity, serials = [] }) =>
        kind === "two-keys" && identity === this.#spiffeId && serials.includes(serial.toLowerCase()),
    );
  }
}
