import type { Workload } from "../../model/mesh.ts";
import type { AmbientPolicy } from "../../policy/ambient/ambient-policy.ts";
import type { RelayEnvironment, TlsEnvironment } from "../proxy-environment.ts";
import type { PodSockets, ZtunnelPod } from "./ztunnel-pod.ts";
import type { ZtunnelSnapshot } from "./ztunnel-snapshot.ts";

/** What holds for a pod at present. */
export interface PodState {
  readonly snapshot: ZtunnelSnapshot;
  readonly workload: Workload;
  readonly policy: AmbientPolicy;
}

/**
 * What the connections of one pod share. INVARIANT: one for each pod, with that pod's own key, sockets and pool: nothing that belongs to another pod can be
 * reached from it.
 */
export interface PodEnvironment extends RelayEnvironment, TlsEnvironment {
  readonly http: RelayEnvironment["http"];
  readonly pod: ZtunnelPod;
  readonly podSockets: PodSockets;
  /** Who tells of them: the ztunnel. */
  readonly reporter: string;
  /** Undefined once the mesh has no such pod for a ztunnel any more: then everything is refused. */
  state(): PodState | undefined;
  /** A name for the next connection. */
  connectionId(direction: "in" | "out"): string;
}
