import type { Socket } from "node:net";
import type { Permit } from "../policy/permit.ts";
import type { Verdict } from "../policy/verdict.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { ByteStream } from "./byte-stream.ts";
import { type Connected, connectUpstream } from "./connect-upstream.ts";
import type { ForwardAction, Leave, MutableFlow } from "./http-service.ts";
import type { ProxyEnvironment } from "./proxy-environment.ts";
import { Tunnel } from "./tunnel.ts";

export interface TunnelRequest {
  readonly leave: Leave;
  readonly socket: Socket;
  /** What the client sent before it ended, where it could not be put back. */
  readonly unread: Buffer;
  readonly flow: MutableFlow;
  readonly startedMs: number;
  readonly next: ForwardAction["next"];
  /** Whether leave would be given now: asked when policy changes. */
  readonly recheck?: () => Permit | Verdict;
}

/** Connects a permitted client to its target and relays; every end is recorded. */
export function openTunnel(env: ProxyEnvironment, request: TunnelRequest): void {
  const { socket } = request;
  socket.pause();
  let gone = false;
  const onGone = () => {
    gone = true;
    fail(
      env,
      request,
      new BulwarkError("BW_CLIENT_CLOSED", "the client closed while its server was being connected"),
    );
  };
  socket.once("close", onGone);
  connectNext(env, request, 0, undefined, (outcome, reads) => {
    socket.off("close", onGone);
    if (gone) {
      if (!(outcome instanceof Error)) outcome.destroy();
    } else if (outcome instanceof Error) {
      fail(env, request, outcome);
      socket.destroy();
    } else relay(env, request, new ByteStream(outcome, RELAYED, reads));
  });
}

function connectNext(
  env: ProxyEnvironment,
  request: TunnelRequest,
  attempt: number,
  failure: Error | undefined,
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
        connectUpstream(target, env.upstream, true, (outcome, reads) => {
          if (outcome instanceof Error) {
            connectNext(env, request, attempt + 1, outcome, done);
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

function relay(env: ProxyEnvironment, request: TunnelRequest, server: ByteStream): void {
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
  tunnel.sendFirst(unread);
  socket.resume();
}

function fail(env: ProxyEnvironment, { flow, startedMs }: TunnelRequest, error: Error): void {
  env.http.counters.failed += 1;
  flow.verdict = "error";
  flow.layer = "upstream";
  flow.reason =
    error instanceof BulwarkError ? error.code : ((error as NodeJS.ErrnoException).code ?? "error");
  flow.explanation = [error.message.split("\n", 1)[0] ?? ""];
  flow.durationMs = performance.now() - startedMs;
  env.http.flows.push(flow);
}

function ignore(): void {}

/** Replaced by the tunnel's own handlers in its constructor. */
const RELAYED = { onData: ignore, onDrain: ignore, onEnd: ignore, onClose: ignore };
