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
}

/** What a proxy tells of itself, for `status`. */
export interface ProxyStats {
  readonly openConnections: number;
  readonly requests: number;
  readonly denied: number;
  readonly failed: number;
}
