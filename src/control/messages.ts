/** What control, proxies and commands say to each other. The methods that carry these are in docs/running.md. */
import type { ProxyStats } from "../dataplane/proxy-options.ts";
import type { FinishedRotation, Rotation } from "../identity/rotation/rotation.ts";
import type { Placement, PodPlacement } from "../model/placement.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import type { Diagnostic } from "../resources/diagnostic.ts";
import type { WireResource } from "../resources/wire.ts";
import type {
  ApplicationPort,
  Assignments,
  PodAssignment,
  SkippedWorkload,
  ZtunnelAssignment,
} from "../substrate/assignment.ts";
import type { StockGateway } from "../substrate/stock-gateways.ts";
import type { ConfigurationChange } from "./configuration-change.ts";
import type { JwksStatus } from "./jwks/jwks-keeper.ts";
import type { ListeningPart } from "./listening-parts.ts";
import type { RevocationEvent, RevocationUpdate } from "./revocation/messages.ts";
import type { RotationReport } from "./rotation/messages.ts";

/** One version of everything that a proxy decides by. A higher version replaces a lower one whole. */
export interface ConfigurationPush {
  readonly version: number;
  readonly resources: readonly WireResource[];
  readonly placement: Placement;
}

/** Keys of one source for tokens. */
export interface KeyText {
  /** As KeySource.id. */
  readonly id: string;
  /** JWKS text; null: they were never had, so tokens that need them are refused. */
  readonly text: string | null;
}

/** `configure`: the configuration, and where the application of this pod listens, which no other is told. */
export interface PodConfigurationPush extends ConfigurationPush {
  /** What its policies need. Newer ones follow by `keys`. */
  readonly keys: readonly KeyText[];
  readonly applicationPorts: readonly ApplicationPort[];
}

/** Roots of a trust domain that the mesh is federated with. */
export interface FederatedRoots {
  readonly trustDomain: string;
  /** Empty: its bundle was never had. */
  readonly rootsPem: string;
}

/** `hello` of a proxy: what only this pod is told. */
export interface ProxyWelcome {
  readonly pod: PodAssignment;
  /** Trusted for servers outside of the mesh, where stand-ins play them. */
  readonly externalCaPem: string | null;
  /** Newer roots follow by `federation`. */
  readonly federation: readonly FederatedRoots[];
  /** All that is revoked, known before anything is accepted. What comes later follows by `revoked`. */
  readonly revocations: RevocationUpdate;
}

/** An ambient pod, as its node's ztunnel is told of it. */
export interface AmbientPod extends PodPlacement {
  /** Of Kubernetes. */
  readonly namespace: string;
  readonly uid: string;
  readonly spiffeId: string;
  /** The network namespace, as `ip netns list` has it. */
  readonly netns: string;
}

/** `hello` of a ztunnel. */
export interface ZtunnelWelcome extends Pick<ProxyWelcome, "federation" | "revocations"> {
  readonly ztunnel: ZtunnelAssignment;
}

/** `configure` of a ztunnel: the configuration without any Secret, and the ambient pods of its node. */
export interface ZtunnelConfigurationPush extends ConfigurationPush {
  readonly ambientPods: readonly AmbientPod[];
}

/** `sign`: a CertificateGrant. */
export interface SignAnswer {
  /** Lower-case hexadecimal. */
  readonly serial: string;
  readonly chainPem: string;
  readonly trustBundlePem: string;
  readonly notBefore: string;
  readonly notAfter: string;
}

export interface CertificateStatus {
  /** Lower-case hexadecimal. */
  readonly serial: string;
  /** When the proxy got it; `notBefore` is a little earlier, for clocks that differ. */
  readonly issuedAt: string;
  readonly notBefore: string;
  readonly notAfter: string;
  /** About when its successor is asked for (half of its life, with a jitter of a twentieth). */
  readonly nextRotation: string;
}

/** `stats` of a proxy. */
export interface ProxyReport {
  readonly stats: ProxyStats | null;
  readonly certificate: CertificateStatus | null;
  /** Of a ztunnel, which has none of its own: those of its pods, by their identity. */
  readonly certificates?: Readonly<Record<string, CertificateStatus>>;
  /** Flow records that wait for the log, and those that were dropped. */
  readonly flowsWaiting: number;
  readonly flowsDropped: number;
}

export interface PodStatus {
  readonly pod: string;
  readonly workload: string;
  readonly address: string;
  readonly identity: string;
  readonly role: PodAssignment["role"];
  readonly proxied: boolean;
  /** The node's ztunnel, `namespace/name`, that stands before an ambient pod: the fields below tell of it. */
  readonly ztunnel?: string;
  readonly connected: boolean;
  /** The configuration that its proxy has acknowledged; 0 before the first. */
  readonly configurationVersion: number;
  /** Why the proxy did not take the newest configuration; it goes on with the one before. */
  readonly refusedConfiguration?: string;
  readonly report?: ProxyReport;
}

export interface ZtunnelStatus {
  /** `namespace/name` */
  readonly ztunnel: string;
  readonly node: string;
  /** Ambient pods of the node. */
  readonly pods: number;
  readonly connected: boolean;
  readonly configurationVersion: number;
  readonly refusedConfiguration?: string;
  readonly report?: ProxyReport;
}

/** A process of the mesh that serves what is no proxy's: built-in applications, stand-ins, the network's DNS. */
export interface PartStatus {
  readonly part: ListeningPart;
  /** The configuration for which all that it serves listens. */
  readonly listeningVersion: number;
}

export interface PolicyStatus {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** `ALLOW`, `STRICT`… */
  readonly effect: string;
}

/** A server of a gateway as clients reach it. */
export interface GatewayAddress {
  /** Of the gateway: `namespace/name`. */
  readonly pod: string;
  /** `Gateway namespace/name` */
  readonly gateway: string;
  /** `http://127.150.216.77:8080`; the scheme is `http`, `https`, `tls` or `tcp`. */
  readonly url: string;
  readonly hosts: readonly string[];
  /** What runs on it, inside TLS where there is any. */
  readonly protocol: string;
  /** As Istio's Gateway names it; null: in clear. */
  readonly tlsMode: string | null;
}

/** A saved change that is not in force, with everything that is wrong with it. */
export interface RefusedChange {
  readonly at: string;
  readonly errors: readonly Diagnostic[];
}

export interface StatusReport {
  /** Of the mesh (RFC 3339). */
  readonly startedAt: string;
  /** The control plane's own process: control that died is started again, and the mesh goes on meanwhile. */
  readonly control: { readonly startedAt: string; readonly restarts: number };
  readonly sources: readonly string[];
  readonly trustDomain: string;
  readonly configuration: {
    readonly version: number;
    readonly loadedAt: string;
    readonly resources: number;
    readonly refused: RefusedChange | null;
    /** The last change that was taken; null when none was since the mesh's first configuration. */
    readonly lastChange: ConfigurationChange | null;
  };
  readonly pods: readonly PodStatus[];
  /** Where pods are in ambient mode. */
  readonly ztunnels: readonly ZtunnelStatus[];
  /** Those that are there and listen. */
  readonly parts: readonly PartStatus[];
  readonly gateways: readonly GatewayAddress[];
  readonly policies: readonly PolicyStatus[];
  /** Sources of keys for tokens. */
  readonly keys: readonly JwksStatus[];
  readonly ca: { readonly issued: number; readonly refused: number; readonly rotation: RotationReport };
  readonly flowLog: { readonly ok: boolean; readonly message: string | null; readonly rows: number };
  readonly skipped: readonly SkippedWorkload[];
  readonly stockGateways: readonly StockGateway[];
}

/** What control tells those who subscribed. */
export type ControlEvent =
  | RevocationEvent
  | { readonly kind: "assignments"; readonly assignments: Assignments }
  | {
      readonly kind: "configuration-accepted";
      readonly version: number;
      readonly resources: number;
      readonly warnings: readonly Diagnostic[];
      readonly change: ConfigurationChange | null;
    }
  /** After a refused change: the files are again what has been in force all along. */
  | { readonly kind: "configuration-restored"; readonly version: number }
  | { readonly kind: "configuration-refused"; readonly errors: readonly Diagnostic[] }
  | { readonly kind: "proxy-connected"; readonly pod: string }
  | { readonly kind: "proxy-gone"; readonly pod: string }
  | { readonly kind: "proxy-applied"; readonly pod: string; readonly version: number }
  | { readonly kind: "part-listening"; readonly part: ListeningPart; readonly version: number }
  | { readonly kind: "proxy-refused"; readonly pod: string; readonly version: number; readonly why: string }
  | {
      readonly kind: "certificate";
      readonly pod: string;
      readonly identity: string;
      readonly serial: string;
      readonly notAfter: string;
    }
  /** A phase in the replacement of the CA's keys has begun; with `rotation` null the last has ended. */
  | {
      readonly kind: "ca-rotation";
      readonly rotation: Rotation | null;
      readonly last: FinishedRotation | null;
    }
  | { readonly kind: "ca-rotation-problem"; readonly message: string }
  | { readonly kind: "certificate-refused"; readonly code: string; readonly message: string }
  /** Keys of an issuer are there, or others than before; or, with an error, cannot be had any more. */
  | {
      readonly kind: "issuer-keys";
      readonly url: string;
      readonly error: string | null;
      readonly keyIds: readonly string[];
    }
  | { readonly kind: "flow-log"; readonly ok: boolean; readonly message: string | null };

/** So many flow records are asked for at once, at most. */
export const MAX_FLOWS_PAGE = 10_000;

/**
 * The fields of parameters that came over a socket.
 * @throws {BulwarkError} BW_RPC_BAD_PARAMS when they are not an object.
 */
export function fieldsOf(params: unknown): Readonly<Record<string, unknown>> {
  if (typeof params === "object" && params !== null && !Array.isArray(params))
    return params as Record<string, unknown>;
  throw new BulwarkError("BW_RPC_BAD_PARAMS", "the parameters are not an object");
}

/** @throws {BulwarkError} BW_RPC_BAD_PARAMS */
export function textField(params: unknown, name: string): string {
  const value = fieldsOf(params)[name];
  if (typeof value === "string") return value;
  throw new BulwarkError("BW_RPC_BAD_PARAMS", `the parameter \`${name}\` is not text`);
}

/** @throws {BulwarkError} BW_RPC_BAD_PARAMS */
export function listField(params: unknown, name: string): readonly unknown[] {
  const value = fieldsOf(params)[name];
  if (Array.isArray(value)) return value;
  throw new BulwarkError("BW_RPC_BAD_PARAMS", `the parameter \`${name}\` is not a list`);
}

/** @throws {BulwarkError} BW_RPC_BAD_PARAMS */
export function numberField(params: unknown, name: string, least: number, most: number): number {
  const value = fieldsOf(params)[name];
  if (typeof value === "number" && value >= least && value <= most) return value;
  throw new BulwarkError(
    "BW_RPC_BAD_PARAMS",
    `the parameter \`${name}\` is not a number from ${least} to ${most}`,
  );
}
