import type { SvidSource } from "../identity/rotation.ts";
import type { FlowDraft } from "../model/flow-record.ts";
import type { PodPlacement } from "../model/placement.ts";
import type { Semantics } from "../policy/inbound.ts";
import type { FetchJwks, RefetchJwks } from "../policy/jwt/jwt-policy.ts";
import type { FederatedDomain } from "./federated-trust.ts";
import type { Limits } from "./limits.ts";

/** Where an application listens, behind its sidecar: told to nobody else. */
export interface ApplicationAddress {
  readonly host: string;
  readonly port: number;
  /** From where it is dialled; absent: from wherever the system chooses. */
  readonly localAddress?: string;
}

/** Where the application is reached that serves a port. `ip`: the pod's address that the client dialled, where it is known. */
export interface ApplicationLookup {
  get(port: number, ip?: string): ApplicationAddress | undefined;
}

export interface ProxyOptions {
  readonly pod: PodPlacement;
  /** By container port. A gateway has none. */
  readonly application: ReadonlyMap<number, ApplicationAddress>;
  /** What the application must present to leave through its sidecar (the password of its HTTP_PROXY URL). */
  readonly outboundSecret: string;
  readonly identity: SvidSource;
  readonly flows: { push(record: FlowDraft): void };
  /** Trusted, besides the system's, for servers outside of the mesh: the stand-ins' own CA. */
  readonly externalCaPem?: string;
  /** Others' trust domains, and their roots; newer ones by `federate`. */
  readonly federation?: readonly FederatedDomain[];
  /** Keys for tokens that are not inline; without it every such token is refused. */
  readonly keys?: { readonly fetchJwks: FetchJwks; readonly refetchJwks: RefetchJwks };
  readonly limits?: Partial<Limits>;
  /** Default `strict`: closed where Istio is known to fail open (docs/decisions.md). `istio`: for comparing with Istio only. */
  readonly semantics?: Semantics;
  /** Problems of operation that no caller waits for. */
  readonly onWarning?: (message: string) => void;
  /**
   * Whether the pod's traffic is redirected to the proxy's own ports by the kernel: then connections come in on those, and
   * where they were going is asked of the kernel; `application` is not used.
   */
  readonly captured?: { readonly upstreamDns: string };
}

/** What a proxy tells of itself, for `status`. */
export interface ProxyStats {
  readonly openConnections: number;
  readonly requests: number;
  readonly denied: number;
  readonly failed: number;
}
