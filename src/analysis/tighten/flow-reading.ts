/** What one record of a log says, whoever wrote it: traffic that was let through, or why it is no evidence of any. */

/** Who called, as far as the record can be believed. */
export interface Caller {
  /** Without `spiffe://`; null: nobody vouches for it. */
  readonly principal: string | null;
  /** What says so: the client's certificate, the network plugin's word on the pod, an address; `none`: nothing does. */
  readonly by: "certificate" | "pod" | "address" | "none";
  /** Address of the peer as its socket had it; absent where it is not known. */
  readonly ip?: string;
}

export interface ObservedHttp {
  readonly method: string;
  /** As received, with the query. */
  readonly path: string;
  readonly status?: number;
}

/** A request or connection that reached a workload and was let through. */
export interface ServerFlow {
  readonly kind: "server";
  /** `namespace/name` */
  readonly workload: string;
  /** Of a waypoint: the host of the service that was asked for. */
  readonly service?: string;
  /** Of the container; at a waypoint the service's. */
  readonly port: number;
  readonly caller: Caller;
  /** Null: bytes, or what they were is not told. */
  readonly http: ObservedHttp | null;
  /** Whether `http: null` says that it was no HTTP, or only that nobody looked. */
  readonly isOpaque: boolean;
  /** Of the TLS that the server's proxy ended or routed by; absent where the record does not tell. */
  readonly sni?: string;
  /** `Kind namespace/name` and index of the rule that let it through, where the record names them. */
  readonly policy?: string;
  readonly rule?: number;
  readonly timeMs: number;
}

/** Whose policies decided: `namespace/name` of the workload, or the host of the service before which a waypoint stands. */
export function subjectOf({ workload, service }: ServerFlow): string {
  return service ?? workload;
}

/** What a workload's own proxy sent out. */
export interface ClientFlow {
  readonly kind: "client";
  readonly workload: string;
  /** Name that was asked for, without port, in lower case. */
  readonly host: string;
  /** As the client dialled it. */
  readonly port: number;
  readonly protocol: "http" | "tls" | "tcp";
  /** The proxy's own word that it went to the very address that was dialled, by no service, whatever services have the name. */
  readonly isPassedOn?: true;
  readonly timeMs: number;
}

/** Why a well-formed record grants nothing. */
export type LeftOut =
  /** Somebody refused it. */
  | "denied"
  /** It failed, and nobody can say whether it was allowed. */
  | "failed"
  /** Not traffic, or told by another record as well: handshakes, certificates, replies. */
  | "not-traffic"
  /** The mesh's files have no such workload. */
  | "unknown-workload"
  /** It does not say which workload, port or direction it is about. */
  | "untold"
  /** Of a status that whoever asks does not take for needed traffic. */
  | "unwanted-status";

export const LEFT_OUT: readonly LeftOut[] = [
  "denied",
  "failed",
  "not-traffic",
  "unknown-workload",
  "untold",
  "unwanted-status",
];

export interface LeftOutRecord {
  readonly kind: "left-out";
  readonly why: LeftOut;
  /** What is worth a person's look: which workload. */
  readonly about?: string;
  readonly timeMs?: number;
}

/** Not a record at all: said with its line, and never guessed at. */
export interface MalformedRecord {
  readonly kind: "malformed";
  readonly why: string;
}

/** The log's own word that it lost records. */
export interface LostRecords {
  readonly kind: "lost";
  readonly count: number;
}

export type Reading = ServerFlow | ClientFlow | LeftOutRecord | MalformedRecord | LostRecords;

export function malformed(why: string): MalformedRecord {
  return { kind: "malformed", why };
}

export function leftOut(why: LeftOut, about?: string): LeftOutRecord {
  return about === undefined ? { kind: "left-out", why } : { kind: "left-out", why, about };
}
