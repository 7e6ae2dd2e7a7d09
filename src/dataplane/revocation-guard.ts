import type { Socket } from "node:net";
import type { PeerCertificate } from "../identity/peer-certificate.ts";
import {
  type RevokedCertificate,
  type RevokedIdentity,
  RevokedSet,
} from "../identity/revocation/revoked-set.ts";
import { RevokedStandings, type StandingNews } from "../identity/revocation/revoked-standings.ts";
import {
  type FlowDirection,
  type FlowDraft,
  type FlowSource,
  nowRfc3339Nanos,
} from "../model/flow-record.ts";
import { unmapped } from "./capture/original-destination.ts";
import { CUT, resetConnection } from "./reset-connection.ts";

export interface RevocationGuardOptions {
  /** `namespace/name` of the workload whose proxy this is, or the name of a ztunnel. */
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
  readonly identities?: readonly RevokedIdentity[];
  /** SHA-256 of the SubjectPublicKeyInfo, lower-case hexadecimal. */
  readonly keys?: readonly string[];
  /** By the clock of who sends it: what this proxy's differs by is made up for. */
  readonly sentAtMs?: number;
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
  /** When its handshake was let stand, milliseconds since the epoch by this proxy's clock. */
  readonly sinceMs: number;
}

/** The live connections on which one certificate was shown, by either end. */
interface Standing {
  readonly certificate: PeerCertificate;
  readonly connections: Set<Certified>;
}

/** Why a connection ends. */
interface Cut {
  readonly certified: Certified;
  readonly certificate: PeerCertificate;
  readonly why: string;
}

const PRUNE_INTERVAL_MS = 60_000;

/**
 * What a proxy knows of revocations, and its live connections by the certificates that they stand on: a handshake costs a few look-ups, a revocation one
 * of each certificate that connections stand on, and as much as there are connections to end, whichever end of them showed it.
 */
export class RevocationGuard {
  readonly #options: RevocationGuardOptions;
  readonly #set: RevokedSet;
  readonly #standings = new RevokedStandings();
  /** By hash of the certificate. */
  readonly #live = new Map<string, Standing>();
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
    return new Set([...this.#live.values()].flatMap(({ connections }) => [...connections])).size;
  }

  /** Takes news, and ends the live connections of what they name. @returns how many. */
  take(news: RevocationNews): number {
    this.#maxAgeMs = news.maxAgeMs;
    this.#heardAtMs = this.#monotonicMs();
    const nowMs = this.#clock();
    if (this.#heardAtMs - this.#prunedAtMs > PRUNE_INTERVAL_MS) {
      this.#prunedAtMs = this.#heardAtMs;
      this.#set.prune(nowMs);
    }
    const added = this.#set.add(news.revoked, nowMs);
    const standings = this.#standings.add({ ...news, revoked: added });
    const aheadMs = news.sentAtMs === undefined ? 0 : nowMs - news.sentAtMs;
    return this.#cut(standings, added, aheadMs);
  }

  /** Whether this is a certificate that was revoked, or stands on what was. */
  isRevoked(certificate: PeerCertificate): boolean {
    return this.#whyRevoked(certificate) !== undefined;
  }

  /** Why a handshake with this peer, under this certificate of our own, may not stand. */
  refusal(peer: PeerCertificate, own: PeerCertificate | undefined): HandshakeRefusal | undefined {
    if (this.#maxAgeMs > 0 && this.#monotonicMs() - this.#heardAtMs > this.#maxAgeMs) return UNKNOWN;
    const why = this.#whyRevoked(peer);
    if (why !== undefined)
      return { code: "BW_PEER_REVOKED", message: `the other side's certificate was revoked (${why})` };
    return own !== undefined && this.isRevoked(own) ? OWN : undefined;
  }

  /** Remembers a connection, until it closes, by both of its certificates. In the same turn as {@link refusal} let it stand. */
  track(
    socket: Socket,
    direction: FlowDirection,
    peer: PeerCertificate,
    own: PeerCertificate | undefined,
  ): void {
    const certified: Certified = { socket, direction, peer, own, sinceMs: this.#clock() };
    keepAddresses(socket);
    this.#index(peer, certified);
    if (own !== undefined) this.#index(own, certified);
    socket.once("close", () => {
      this.#forget(peer, certified);
      if (own !== undefined) this.#forget(own, certified);
    });
  }

  #whyRevoked(certificate: PeerCertificate): string | undefined {
    return (
      this.#set.reasonFor(certificate, certificate.notAfter.getTime()) ??
      this.#standings.whyRefused(certificate)
    );
  }

  #index(certificate: PeerCertificate, certified: Certified): void {
    const standing = this.#live.get(certificate.sha256);
    if (standing === undefined)
      this.#live.set(certificate.sha256, { certificate, connections: new Set([certified]) });
    else standing.connections.add(certified);
  }

  #forget({ sha256 }: PeerCertificate, certified: Certified): void {
    const standing = this.#live.get(sha256);
    standing?.connections.delete(certified);
    if (standing?.connections.size === 0) this.#live.delete(sha256);
  }

  /** All are ended before the other ends of the first are, and those before anything is put on record: neither must make the last one live longer. */
  #cut(news: StandingNews, revoked: readonly RevokedCertificate[], aheadMs: number): number {
    const done: Cut[] = [];
    for (const cut of this.#toCut(news, revoked, aheadMs)) {
      // Both of its certificates may be named.
      if (cut.certified.socket.destroyed) continue;
      resetConnection(cut.certified.socket);
      done.push(cut);
    }
    for (const { certified } of done) certified.socket.emit(CUT);
    for (const cut of done) this.#options.flows.push(this.#recordOf(cut));
    return done.length;
  }

  #toCut(
    { keys, issuers, identities }: StandingNews,
    revoked: readonly RevokedCertificate[],
    aheadMs: number,
  ): readonly Cut[] {
    if (revoked.length + keys.size + identities.size === 0) return [];
    const serials = Map.groupBy(revoked, ({ serial }) => serial);
    const cuts: Cut[] = [];
    for (const { certificate, connections } of this.#live.values()) {
      const { serial, keySha256, authorityKeyId, spiffeId } = certificate;
      const named = serials.get(serial)?.find((one) => isOf(certificate, one));
      const beforeMs = identities.get(spiffeId ?? "");
      let why: string | undefined = named?.reason;
      if (why === undefined && keys.has(keySha256)) why = "its key";
      if (
        why === undefined &&
        issuers.size > 0 &&
        (authorityKeyId === undefined || issuers.has(authorityKeyId))
      )
        why = "its issuer";
      for (const certified of connections)
        if (why !== undefined) cuts.push({ certified, certificate, why });
        else if (beforeMs !== undefined && certified.sinceMs - aheadMs < beforeMs)
          cuts.push({ certified, certificate, why: "its identity" });
    }
    return cuts;
  }

  #endOf(address: string | undefined, port: number | undefined): FlowSource {
    const ip = unmapped(address);
    return { workload: ip === undefined ? undefined : this.#options.workloadAt(ip), ip, port };
  }

  #recordOf({ certified, certificate, why }: Cut): FlowDraft {
    const { socket, direction, peer, own } = certified;
    const { reporter } = this.#options;
    const far = this.#endOf(socket.remoteAddress, socket.remotePort);
    const local = this.#endOf(socket.localAddress, socket.localPort);
    // A ztunnel's connections are of many pods.
    const near = { ...local, workload: local.workload ?? reporter };
    const client = direction === "inbound" ? peer : own;
    const principal = client?.spiffeId?.slice("spiffe://".length) ?? null;
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
        certificate.sha256 === own?.sha256
          ? `cut: this proxy's certificate ${own.serial} was revoked (${why})`
          : `cut: the other side's certificate was revoked (${why})`,
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

/** Node asks the system once and remembers; of a connection that has been reset there is nobody left to ask. */
function keepAddresses(socket: Socket): void {
  void socket.remoteAddress;
  void socket.localAddress;
}

function isOf({ serial, authorityKeyId }: PeerCertificate, revoked: RevokedCertificate): boolean {
  return (
    serial === revoked.serial && (authorityKeyId === undefined || authorityKeyId === revoked.issuerKeyId)
  );
}
