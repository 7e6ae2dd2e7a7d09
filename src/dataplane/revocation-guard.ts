import type { Socket } from "node:net";
import type { PeerCertificate } from "../identity/peer-certificate.ts";
import { type RevokedCertificate, RevokedSet } from "../identity/revocation/revoked-set.ts";
import { type FlowDirection, type FlowDraft, nowRfc3339Nanos } from "../model/flow-record.ts";
import { resetConnection } from "./reset-connection.ts";

export interface RevocationGuardOptions {
  /** `namespace/name` of the workload whose proxy this is. */
  readonly reporter: string;
  readonly flows: { push(draft: FlowDraft): void };
  readonly workloadAt: (address: string) => string | undefined;
  /** Milliseconds since the epoch. */
  readonly clock?: () => number;
  /** Milliseconds that never jump. */
  readonly monotonicMs?: () => number;
  readonly maxEntries?: number;
}

/** News of revocations: additions to what is known already. */
export interface RevocationNews {
  readonly revoked: readonly RevokedCertificate[];
  /** After so long without news, empty ones included, no handshake is let through; 0: what is known stays good. */
  readonly maxAgeMs: number;
}

export interface HandshakeRefusal {
  readonly code: "BW_PEER_REVOKED" | "BW_OWN_CERTIFICATE_REVOKED" | "BW_REVOCATION_UNKNOWN";
  readonly message: string;
}

/** A live connection under the mesh's TLS. */
interface Certified {
  readonly socket: Socket;
  readonly direction: FlowDirection;
  readonly peer: PeerCertificate;
  /** What this proxy showed on it: a rotation since does not change that. */
  readonly own: PeerCertificate | undefined;
}

const PRUNE_INTERVAL_MS = 60_000;

/**
 * What a proxy knows of revocations, and its live connections by the certificates that they stand on: a handshake costs one look-up, a revocation as much
 * as there are connections of that certificate, whichever end of them showed it.
 */
export class RevocationGuard {
  readonly #options: RevocationGuardOptions;
  readonly #set: RevokedSet;
  readonly #bySerial = new Map<string, Set<Certified>>();
  readonly #clock: () => number;
  readonly #monotonicMs: () => number;
  #maxAgeMs = 0;
  #heardAtMs: number;
  #prunedAtMs: number;

  constructor(options: RevocationGuardOptions) {
    this.#options = options;
    this.#set = new RevokedSet(options.maxEntries);
    this.#clock = options.clock ?? Date.now;
    this.#monotonicMs = options.monotonicMs ?? (() => performance.now());
    this.#heardAtMs = this.#monotonicMs();
    this.#prunedAtMs = this.#heardAtMs;
  }

  /** Certificates known as revoked. */
  get size(): number {
    return this.#set.size;
  }

  /** Connections that would be found, for tests of leaks. */
  get tracked(): number {
    return new Set([...this.#bySerial.values()].flatMap((set) => [...set])).size;
  }

  /** Takes news, and ends the live connections of what they name. @returns how many. */
  take({ revoked, maxAgeMs }: RevocationNews): number {
    this.#maxAgeMs = maxAgeMs;
    this.#heardAtMs = this.#monotonicMs();
    if (this.#heardAtMs - this.#prunedAtMs > PRUNE_INTERVAL_MS) {
      this.#prunedAtMs = this.#heardAtMs;
      this.#set.prune(this.#clock());
    }
    return this.#cut(this.#set.add(revoked, this.#clock()));
  }

  /** Whether this is a certificate that was revoked. */
  isRevoked(certificate: PeerCertificate): boolean {
    return this.#set.reasonFor(certificate, certificate.notAfter.getTime()) !== undefined;
  }

  /** Why a handshake with this peer, under this certificate of our own, may not stand. */
  refusal(peer: PeerCertificate, own: PeerCertificate | undefined): HandshakeRefusal | undefined {
    if (this.#maxAgeMs > 0 && this.#monotonicMs() - this.#heardAtMs > this.#maxAgeMs) return UNKNOWN;
    const reason = this.#set.reasonFor(peer, peer.notAfter.getTime());
    if (reason !== undefined)
      return { code: "BW_PEER_REVOKED", message: `the other side's certificate was revoked (${reason})` };
    return own !== undefined && this.isRevoked(own) ? OWN : undefined;
  }

  /** Remembers a connection, until it closes, by both of its certificates. In the same turn as {@link refusal} let it stand. */
  track(
    socket: Socket,
    direction: FlowDirection,
    peer: PeerCertificate,
    own: PeerCertificate | undefined,
  ): void {
    const certified: Certified = { socket, direction, peer, own };
    this.#index(peer, certified);
    if (own !== undefined) this.#index(own, certified);
    socket.once("close", () => {
      this.#forget(peer, certified);
      if (own !== undefined) this.#forget(own, certified);
    });
  }

  #index({ serial }: PeerCertificate, certified: Certified): void {
    const set = this.#bySerial.get(serial);
    if (set === undefined) this.#bySerial.set(serial, new Set([certified]));
    else set.add(certified);
  }

  #forget({ serial }: PeerCertificate, certified: Certified): void {
    const set = this.#bySerial.get(serial);
    set?.delete(certified);
    if (set?.size === 0) this.#bySerial.delete(serial);
  }

  /** All are ended before the first is put on record: writing must not make the last one live longer. */
  #cut(revoked: readonly RevokedCertificate[]): number {
    const records: FlowDraft[] = [];
    for (const one of revoked)
      for (const certified of this.#bySerial.get(one.serial) ?? []) {
        if (!isOf(certified.peer, one) && !(certified.own !== undefined && isOf(certified.own, one)))
          continue;
        if (certified.socket.destroyed) continue;
        records.push(this.#recordOf(certified, one));
        resetConnection(certified.socket);
      }
    for (const record of records) this.#options.flows.push(record);
    return records.length;
  }

  #recordOf({ socket, direction, peer, own }: Certified, { reason }: RevokedCertificate): FlowDraft {
    const { reporter, workloadAt } = this.#options;
    const far = {
      workload: socket.remoteAddress === undefined ? undefined : workloadAt(socket.remoteAddress),
      ip: socket.remoteAddress,
      port: socket.remotePort,
    };
    const near = { workload: reporter, ip: socket.localAddress, port: socket.localPort };
    const client = direction === "inbound" ? peer : own;
    const principal = client?.spiffeId?.slice("spiffe://".length) ?? null;
    const whose = own !== undefined && this.isRevoked(own) ? "own" : "peer";
    return {
      time: nowRfc3339Nanos(),
      kind: "revocation",
      source: { ...(direction === "inbound" ? far : near), principal },
      destination: direction === "inbound" ? near : far,
      reporter,
      direction,
      protocol: "tls",
      verdict: "deny",
      layer: "transport",
      reason: "certificate-revoked",
      policy: null,
      rule: null,
      tls: { peerSerial: peer.serial.toUpperCase() },
      explanation: [
        whose === "own"
          ? `cut: this proxy's certificate ${own?.serial} was revoked (${reason})`
          : `cut: the other side's certificate was revoked (${reason})`,
      ],
    };
  }
}

const UNKNOWN: HandshakeRefusal = {
  code: "BW_REVOCATION_UNKNOWN",
  message: "the control plane has not said for too long what is revoked",
};
const OWN: HandshakeRefusal = {
  code: "BW_OWN_CERTIFICATE_REVOKED",
  message: "this proxy's own certificate was revoked",
};

function isOf({ serial, authorityKeyId }: PeerCertificate, revoked: RevokedCertificate): boolean {
  return (
    serial === revoked.serial && (authorityKeyId === undefined || authorityKeyId === revoked.issuerKeyId)
  );
}
