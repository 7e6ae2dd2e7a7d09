import type { Socket } from "node:net";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { ByteStream } from "./byte-stream.ts";
import { type Connected, connectUpstream } from "./connect-upstream.ts";
import { refusedAt } from "./hbone/refused-at.ts";
import type { ForwardAction, Leave, MutableFlow } from "./http-service.ts";
import type { RelayEnvironment } from "./proxy-environment.ts";
import type { Refusal } from "./recheck.ts";
import { Tunnel } from "./tunnel.ts";
import type { UpstreamTarget } from "./upstream-target.ts";

export interface TunnelRequest {
  readonly leave: Leave;
  readonly socket: Socket;
  /** What the client sent before it ended, where it could not be put back. */
  readonly unread: Buffer;
  readonly flow: MutableFlow;
  readonly startedMs: number;
  readonly next: ForwardAction["next"];
  /** Who forbids it now; undefined while it may go on. Asked when policy changes. */
  readonly recheck?: () => Refusal | undefined;
}

/** Whoever waits for a tunnel, and is a connection only once there is a server for it. */
export interface WaitingClient {
  /** @param gone called at most once, when it has given up. @returns what ends the watch. */
  onGone(gone: () => void): () => void;
  /** The server is there: the connection. Called at most once. */
  take(): Socket;
  /** There is none. */
  refuse(error: Error): void;
}

/** Connects a permitted client to its target and relays; every end is recorded. */
export function openTunnel(env: RelayEnvironment, { socket, ...request }: TunnelRequest): void {
  socket.pause();
  openTunnelFor(env, request, {
    onGone(gone) {
      socket.once("close", gone);
      return () => socket.off("close", gone);
    },
    take: () => socket,
    refuse: () => socket.destroy(),
  });
}

/** The same for a client that is answered only when its server is there. */
export function openTunnelFor(
  env: RelayEnvironment,
  request: Omit<TunnelRequest, "socket">,
  client: WaitingClient,
): void {
  let gone = false;
  let target: UpstreamTarget | undefined;
  const onGone = () => {
    gone = true;
    fail(
      env,
      request,
      new BulwarkError("BW_CLIENT_CLOSED", "the client closed while its server was being connected"),
    );
  };
  const unwatch = client.onGone(onGone);
  const onTarget = (next: UpstreamTarget) => {
    target = next;
  };
  connectNext(env, request, { onTarget, attempt: 0, failure: undefined }, (outcome, reads) => {
    unwatch();
    if (gone) {
      if (!(outcome instanceof Error)) outcome.destroy();
    } else if (outcome instanceof Error) {
      fail(env, request, outcome, target);
      client.refuse(outcome);
    } else {
      if (isTlsInTls(request, target)) request.flow.explanation = [TLS_IN_TLS];
      relay(env, { ...request, socket: client.take() }, new ByteStream(outcome, RELAYED, reads));
    }
  });
}

interface ConnectAttempt {
  readonly attempt: number;
  readonly failure: Error | undefined;
  readonly onTarget: (target: UpstreamTarget) => void;
}

function connectNext(
  env: RelayEnvironment,
  request: Omit<TunnelRequest, "socket">,
  { attempt, failure, onTarget }: ConnectAttempt,
  done: Connected,
): void {
  Promise.resolve()
    .then(() => request.next(attempt))
    .then(
      (target) => {
        if (target === undefined) {
          done(failure ?? new BulwarkError("BW_UPSTREAM_NONE", "no healthy upstream"));
          return;
        }
        onTarget(target);
        connectUpstream(target, env.upstream, true, (outcome, reads) => {
          if (outcome instanceof Error) {
            connectNext(env, request, { onTarget, attempt: attempt + 1, failure: outcome }, done);
            return;
          }
          const { host: ip, port, cluster } = target;
          request.flow.upstream = {
            ip,
            port,
            localIp: outcome.localAddress,
            localPort: outcome.localPort,
            cluster,
          };
          done(outcome, reads);
        });
      },
      (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
    );
}

function relay(env: RelayEnvironment, request: TunnelRequest, server: ByteStream): void {
  const { leave, socket, unread, flow, startedMs, recheck } = request;
  const tunnel: Tunnel = new Tunnel(leave, new ByteStream(socket, RELAYED), server, {
    deadlines: env.http.deadlines,
    idleTimeoutMs: env.http.limits.idleTimeoutMs,
    flows: env.http.flows,
    flow,
    startedMs,
    onEnded: () => env.tunnels.delete(tunnel),
    ...(recheck === undefined ? {} : { recheck }),
  });
  env.tunnels.add(tunnel);
  // Policy may have changed while the server was being connected.
  tunnel.recheck();
  if (!env.tunnels.has(tunnel)) return;
  tunnel.sendFirst(unread);
  if (socket.readableEnded) tunnel.clientHasEnded();
  socket.resume();
}

/** The caller opens TLS, and a DestinationRule has this proxy open its own around it: few servers take that. */
const TLS_IN_TLS =
  "the caller's own TLS goes inside TLS that this proxy opens, as the host's DestinationRule says: call it by http://, or take tls out of the rule (or out of that port's)";

function isTlsInTls({ flow }: Pick<TunnelRequest, "flow">, target: UpstreamTarget | undefined): boolean {
  return flow.protocol === "tls" && target?.tls?.kind === "external";
}

function fail(
  env: RelayEnvironment,
  request: Pick<TunnelRequest, "flow" | "startedMs">,
  error: Error,
  target?: UpstreamTarget,
): void {
  const { flow, startedMs } = request;
  env.http.counters.failed += 1;
  flow.verdict = "error";
  flow.layer = "upstream";
  flow.reason =
    error instanceof BulwarkError ? error.code : ((error as NodeJS.ErrnoException).code ?? "error");
  flow.upstream ??= refusedAt(error);
  const what = error.message.split("\n", 1)[0] ?? "";
  flow.explanation = isTlsInTls(request, target) ? [what, TLS_IN_TLS] : [what];
  flow.durationMs = performance.now() - startedMs;
  env.http.flows.push(flow);
}

function ignore(): void {}

/** Replaced by the tunnel's own handlers in its constructor. */
const RELAYED = { onData: ignore, onDrain: ignore, onEnd: ignore, onClose: ignore };
