import type { RpcPeer } from "../control/rpc.ts";
import type { TokenRequest } from "../identity/service-account-token.ts";
import type { Signer } from "../identity/sign.ts";
import type { FlowRecord } from "../model/flow-record.ts";
import type { Mesh } from "../model/mesh.ts";
import type { Assignments, PodAssignment } from "../substrate/assignment.ts";
import type { WireOfMesh } from "./wire-of-mesh.ts";

/** A certificate with its key, as an attacker presents it. */
export interface Credentials {
  /** The name it claims. */
  readonly spiffeId: string;
  /** Upper-case hexadecimal. */
  readonly serial: string;
  readonly keyPem: string;
  readonly chainPem: string;
}

/** An address that the mesh's configuration puts behind a service, where the attacker listens instead. */
export interface ImpostorStage {
  readonly url: string;
  readonly address: string;
  readonly port: number;
  /** The workload whose account the service belongs to. */
  readonly owner: string;
}

/** A mesh as attacks see it: its promises (`mesh`), its addresses, and what an attacker can take from it. */
export interface MeshUnderAttack {
  /** The configuration: what is promised. */
  readonly mesh: Mesh;
  readonly assignments: Assignments;
  /** Why a process that opens its own socket is not held back; undefined where the substrate does hold it. */
  readonly notCaptured: string | undefined;
  /** The CA of the stand-ins; undefined where the real hosts are behind the gateway: those are not attacked. */
  readonly standInCaPem: string | undefined;
  readonly impostorStage: ImpostorStage | undefined;
  /** Where pods are network namespaces. */
  readonly wire: WireOfMesh | undefined;
  readonly signal: AbortSignal;
  /** How long a flow record may take to be found; 0 where there is none to wait for. */
  readonly logWaitMs: number;
  /** What code execution in the workload yields: a certificate by the pod's own token. Kept until half of its life. */
  identityOf(pod: PodAssignment): Promise<Credentials>;
  /** The same, and nobody else has this one: for what is revoked. */
  freshIdentityOf(pod: PodAssignment): Promise<Credentials>;
  /** As `bulwark ca revoke SERIAL`: whoever runs the attack owns the mesh. Settles when every proxy has had its time to act on it. */
  revokeCertificate(serial: string): Promise<void>;
  /** The pod's service account token, as a process in the pod can read it. */
  tokenOf(pod: PodAssignment): string;
  /** A token as the issuer would sign it, for specimens that are wrong in one respect. `clock`: milliseconds since the epoch. */
  mintToken(request: TokenRequest, options?: { issuer?: string; clock?: () => number }): Promise<string>;
  /** The CA's own signing key, for specimens that are wrong in one respect. Whoever runs the attack owns the mesh. */
  caSigner(): Signer;
  /** A connection to the control plane that has not said who it is. */
  dialControl(): Promise<RpcPeer>;
  /** @param filter flags of the flow log, `["--peer", "127.0.0.1:40000"]`. */
  records(filter: readonly string[]): Promise<readonly FlowRecord[]>;
}
