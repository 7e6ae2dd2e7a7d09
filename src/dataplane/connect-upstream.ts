import { connect as connectTcp, type Socket } from "node:net";
import {
  type ConnectionOptions,
  checkServerIdentity,
  connect as connectTls,
  type PeerCertificate as NodeCertificate,
  type TLSSocket,
} from "node:tls";
import {
  matchesExpectedSans,
  type PeerCertificate,
  peerCertificateDer,
  peerFromCertificateDer,
  verifyPeerIdentity,
} from "../identity/peer-certificate.ts";
import type { LinkedCertificate } from "../identity/peer-chain.ts";
import type { TrustDomain } from "../model/spiffe-id.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { explainedFailure } from "./connection-failure.ts";
import type { OwnTrustDomains } from "./federated-trust.ts";
import type { HandshakesInFlight } from "./handshakes-in-flight.ts";
import type { HbonePool } from "./hbone/hbone-pool.ts";
import { LentReads } from "./lent-reads.ts";
import type { RevocationGuard } from "./revocation-guard.ts";
import { CLIENT_ALPN, type TlsContexts, type UpstreamAlpn } from "./tls-contexts.ts";
import type { UpstreamTarget, UpstreamTls, UpstreamTunnel } from "./upstream-target.ts";

/** Whose workloads are taken: of the mesh, under its own name and its aliases, and of those that it is federated with. */
export interface TrustDomains extends OwnTrustDomains {
  readonly federated: readonly TrustDomain[];
}

/** What connecting needs of the proxy that does it. */
export interface UpstreamSettings {
  /** Undefined while there is no valid certificate: mesh connections are then refused, not made without one. */
  contexts(): TlsContexts | undefined;
  trustDomains(): TrustDomains;
  readonly revocations: RevocationGuard;
  readonly connectTimeoutMs: number;
  /** Counts handshakes of the mesh while they are under way. */
  readonly handshakes: HandshakesInFlight;
  /** Dials from another network than this process's own; absent: from here. Never throws. */
  readonly open?: (where: DialledPlace) => Socket;
  /** Through which targets are reached that have a tunnel; absent: those are refused. */
  readonly tunnels?: HbonePool;
}

export interface DialledPlace {
  /** IP literal. */
  readonly host: string;
  readonly port: number;
  readonly localAddress?: string;
}

/**
 * Called exactly once: with a socket whose peer is verified, before anything may be written to it, or with why not.
 * With `reads` the socket emits no data: they take it, from now on.
 */
export type Connected = (outcome: Socket | Error, reads?: LentReads) => void;

/**
 * Connects to a target. For the mesh's TLS the server's identity is checked before the callback: nothing is ever written
 * to an impostor, not even by Node's own buffering.
 * @param lend whether `done` may be given lent reads; only plaintext connections can have them.
 */
export function connectUpstream(
  target: UpstreamTarget,
  settings: UpstreamSettings,
  lend: boolean,
  done: Connected,
): void {
  if (target.tunnel === undefined) connectBy(target, settings, lend, undefined, done);
  else connectThrough(target, target.tunnel, settings, done);
}

/** TLS that the target wants is spoken inside, with the application at the tunnel's far end. */
function connectThrough(
  target: UpstreamTarget,
  tunnel: UpstreamTunnel,
  settings: UpstreamSettings,
  done: Connected,
): void {
  if (settings.tunnels === undefined) {
    const error = new BulwarkError("BW_TUNNEL_UNSUPPORTED", "this proxy opens no tunnels");
    queueMicrotask(() => done(error));
    return;
  }
  settings.tunnels.open(tunnel, target.localAddress, settings, (outcome) => {
    if (outcome instanceof Error || target.tls === undefined) done(outcome);
    else connectBy(target, settings, false, outcome, done);
  });
}

/** @param over a connection that stands already, in which TLS is to be spoken. */
function connectBy(
  target: UpstreamTarget,
  settings: UpstreamSettings,
  lend: boolean,
  over: Socket | undefined,
  done: Connected,
): void {
  const contexts = target.tls?.kind === "mesh" ? settings.contexts() : undefined;
  if (target.tls?.kind === "mesh" && contexts === undefined) {
    over?.destroy();
    queueMicrotask(() =>
      done(new BulwarkError("BW_UPSTREAM_NO_CERTIFICATE", "this proxy has no valid certificate at present")),
    );
    return;
  }
  const mayLend = lend && target.tls === undefined && settings.open === undefined;
  const reads = mayLend ? new LentReads() : undefined;
  const socket = open(target, contexts, settings, reads, over);
  if (contexts !== undefined) settings.handshakes.began(contexts);
  const event = target.tls === undefined ? "connect" : "secureConnect";
  const onReady = () =>
    settle(contexts === undefined ? undefined : unrevoked(socket as TLSSocket, contexts, settings));
  const onError = (error: Error) => settle(error);
  const onClose = () => settle(new BulwarkError("BW_UPSTREAM_CLOSED", "the server closed while connecting"));
  const onTimeout = () => settle(new BulwarkError("BW_UPSTREAM_TIMEOUT", "connecting timed out"));
  const timer = setTimeout(onTimeout, settings.connectTimeoutMs);
  socket.on("error", onError).on("close", onClose).once(event, onReady);

  function settle(error: Error | undefined): void {
    clearTimeout(timer);
    if (contexts !== undefined) settings.handshakes.ended(contexts);
    socket.off(event, onReady).off("close", onClose).off("error", onError);
    if (error === undefined) {
      done(socket, reads);
      return;
    }
    socket.on("error", ignore).destroy();
    done(explainedFailure(error));
  }
}

function ignore(): void {}

/**
 * Asked of every connection, resumed ones included (Node then skips the check of the server's identity): read from the session, as servers do.
 * What stands is known to the guard from this moment on.
 */
function unrevoked(
  socket: TLSSocket,
  { own }: TlsContexts,
  { revocations }: UpstreamSettings,
): BulwarkError | undefined {
  const der = peerCertificateDer(socket);
  const peer: PeerCertificate | { readonly error: string } =
    der === undefined ? { error: "the server showed no certificate" } : peerFromCertificateDer(der);
  if ("error" in peer) return new BulwarkError("BW_UPSTREAM_BAD_CERTIFICATE", peer.error);
  const refusal = revocations.refusal(peer, own);
  if (refusal !== undefined) return new BulwarkError(refusal.code, refusal.message);
  revocations.track(socket, "outbound", peer, own);
  return undefined;
}

function open(
  target: UpstreamTarget,
  contexts: TlsContexts | undefined,
  settings: UpstreamSettings,
  reads: LentReads | undefined,
  over: Socket | undefined,
): Socket {
  const { host, port, localAddress, tls } = target;
  if (over !== undefined)
    return secureOver(over, tls, contexts, settings).once("close", () => over.destroy());
  const place: DialledPlace = { host, port, ...(localAddress === undefined ? {} : { localAddress }) };
  if (settings.open !== undefined) return secureOver(settings.open(place), tls, contexts, settings);
  const where = { ...place, noDelay: true, allowHalfOpen: true };
  if (tls === undefined) return connectTcp(reads === undefined ? where : { ...where, onread: reads.onread });
  return connectTls({ ...where, ...tlsOptions(tls, contexts, settings) } as ConnectionOptions);
}

/** @param socket that somebody else has connected, or has begun to connect. */
function secureOver(
  socket: Socket,
  tls: UpstreamTls | undefined,
  contexts: TlsContexts | undefined,
  settings: UpstreamSettings,
): Socket {
  if (tls === undefined) return socket;
  const options = { ...tlsOptions(tls, contexts, settings), socket, allowHalfOpen: true };
  const secured = connectTls(options as ConnectionOptions);
  // Node passes on what goes wrong from the moment that TLS runs on it, and not before.
  socket.on("error", (error) => secured.destroy(error));
  return secured;
}

function tlsOptions(
  tls: UpstreamTls,
  contexts: TlsContexts | undefined,
  settings: UpstreamSettings,
): ConnectionOptions {
  const common: ConnectionOptions = {
    servername: tls.sni ?? "",
    ALPNProtocols: [...CLIENT_ALPN[tls.alpn]],
    rejectUnauthorized: true,
  };
  if (tls.kind === "external") {
    return {
      ...common,
      ALPNProtocols: externalAlpn(tls.alpn),
      secureContext: tls.context,
      checkServerIdentity: (_name, certificate) => checkExternal(tls, certificate),
    };
  }
  return {
    ...common,
    ...(contexts === undefined
      ? {}
      : { secureContext: contexts.client(contexts.trust.rootsFor(tls.sans, settings.trustDomains())) }),
    // Node gives the certificate with its issuers linked to it, as `getPeerCertificate(true)` does; its types do not say so.
    checkServerIdentity: (_name, certificate) => checkMeshServer(tls.sans, certificate, contexts, settings),
  };
}

/** Servers outside know nothing of Istio's protocol names. */
function externalAlpn(alpn: UpstreamAlpn): string[] {
  return alpn === "http2" ? ["h2"] : alpn === "http1" ? ["http/1.1"] : [];
}

/** Secure naming: the certificate must be a workload's of this mesh, and one that may run the service. */
function checkMeshServer(
  sans: readonly string[] | undefined,
  certificate: NodeCertificate & LinkedCertificate,
  contexts: TlsContexts | undefined,
  settings: UpstreamSettings,
): Error | undefined {
  const peer = peerFromCertificateDer(certificate.raw);
  if ("error" in peer) return new BulwarkError("BW_UPSTREAM_BAD_CERTIFICATE", peer.error);
  const verified = verifyPeerIdentity(peer, { ...settings.trustDomains(), nowMs: Date.now() });
  if (!verified.ok) return new BulwarkError(verified.code, verified.reason);
  if (contexts?.trust.isFederated !== false) {
    const problem = contexts?.trust.problem(certificate, verified.peer.trustDomain, "server", Date.now());
    if (contexts === undefined || problem !== undefined)
      return new BulwarkError(
        "BW_PEER_FOREIGN_AUTHORITY",
        problem ?? "there are no roots to verify it against",
      );
  }
  if (sans === undefined || matchesExpectedSans(peer, sans)) return undefined;
  return new BulwarkError(
    "BW_UPSTREAM_IMPOSTOR",
    `the server is \`${peer.spiffeId}\`, which may not run this service (expected ${sans.map((san) => `\`${san}\``).join(" or ")})`,
  );
}

function checkExternal(
  tls: UpstreamTls & { kind: "external" },
  certificate: NodeCertificate,
): Error | undefined {
  const names = tls.sans ?? (tls.sni === undefined ? [] : [tls.sni]);
  if (names.length === 0) return undefined;
  const errors = names.map((name) => checkServerIdentity(name, certificate));
  return errors.includes(undefined) ? undefined : errors[0];
}
