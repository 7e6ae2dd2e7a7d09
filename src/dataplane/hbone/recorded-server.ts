/** A tunnels' port that puts on record whatever comes to it and becomes no tunnel. */
import type { Socket } from "node:net";
import type { InboundPolicy } from "../../policy/inbound.ts";
import { unmapped } from "../capture/original-destination.ts";
import type { InboundConnection } from "../inbound-connection.ts";
import type { InboundRecords } from "../inbound-records.ts";
import type { HandshakeDone, MeshTlsServer } from "../mesh-tls-server.ts";
import type { RelayEnvironment, Snapshot } from "../proxy-environment.ts";
import { HBONE_PORT } from "../upstream-target.ts";
import { type HboneRefusal, HboneServer, type HboneTunnel } from "./hbone-server.ts";

export interface RecordedServerOptions {
  readonly env: Pick<RelayEnvironment, "http">;
  readonly tls: Pick<MeshTlsServer, "accept">;
  readonly records: InboundRecords;
  readonly snapshot: () => Pick<Snapshot, "workload" | "workloadByAddress">;
  /** By which a handshake is refused. */
  readonly policy: () => InboundPolicy;
  /** A name for the next connection. */
  readonly nextId: () => string;
  readonly onTunnel: (tunnel: HboneTunnel) => void;
}

/** Handshakes that stand are told of as well. */
export function recordedServer(options: RecordedServerOptions): HboneServer {
  return new HboneServer({
    env: options.env,
    tls: { accept: (socket, done) => options.tls.accept(socket, recorded(options, socket, done)) },
    onTunnel: options.onTunnel,
    onRefused: (refusal) => recordRefusal(options, refusal),
  });
}

function recorded(
  { records, snapshot, nextId }: RecordedServerOptions,
  { localAddress, localPort }: Socket,
  done: HandshakeDone,
): HandshakeDone {
  const startedMs = performance.now();
  return (outcome) => {
    if ("principal" in outcome) {
      const { remoteAddress, remotePort } = outcome.socket;
      const source = { ip: unmapped(remoteAddress) ?? "", port: remotePort ?? 0 };
      const local = { ip: unmapped(localAddress) ?? "", port: localPort ?? 0 };
      const facts = arrivalFacts({ peer: outcome, source, local, startedMs }, snapshot(), nextId());
      records.handshake(facts, outcome.tls);
    }
    done(outcome);
  };
}

function recordRefusal(
  { records, snapshot, policy, nextId }: RecordedServerOptions,
  { reason, explanation, status, peer, failure, durationMs, ...ends }: HboneRefusal,
): void {
  const startedMs = performance.now() - durationMs;
  const facts = arrivalFacts({ peer, startedMs, ...ends }, snapshot(), nextId());
  if (failure !== undefined) {
    records.handshakeFailed(policy(), facts, failure);
    return;
  }
  const flow = records.flow(facts, undefined, undefined, "deny");
  Object.assign(flow, { layer: "protocol", reason, explanation, status, tls: peer?.tls });
  records.deny({ ...facts, socket: ENDED }, flow);
}

/** A connection to the tunnels' port itself. */
interface HboneArrival extends Pick<HboneTunnel, "source" | "local"> {
  /** Undefined where the handshake failed. */
  readonly peer: Pick<HboneTunnel["peer"], "principal"> | undefined;
  readonly startedMs: number;
}

function arrivalFacts(
  { peer, source, local, startedMs }: HboneArrival,
  { workload, workloadByAddress }: Pick<Snapshot, "workload" | "workloadByAddress">,
  id: string,
): Omit<InboundConnection, "socket"> {
  const { ip, port } = source;
  return {
    port: HBONE_PORT,
    id,
    source: { workload: workloadByAddress.get(ip), principal: peer?.principal ?? null, ip, port },
    destination: { workload: workload.key, ip: local.ip, port: HBONE_PORT },
    startedMs,
  };
}

/** The server has answered, or ended, what is on record. */
const ENDED = { destroy: (): void => {} };
