import { isIP, type Socket } from "node:net";
import type { FlowSource } from "../model/flow-record.ts";
import { OUTBOUND_PROXY_PORT, type PodPlacement } from "../model/placement.ts";
import type { DialedDestination, ForwardDecision, OutboundTarget } from "../policy/outbound/types.ts";
import { ByteStream } from "./byte-stream.ts";
import { CONNECT_ESTABLISHED_REPLY, fieldLines, NO_FIELD_LINES } from "./codec/head-writer.ts";
import { readProxyRequest } from "./codec/http-connect.ts";
import { parseRequestHead, type RequestHead } from "./codec/http1-head.ts";
import { findHeadEnd, HEAD_INCOMPLETE } from "./codec/http1-head-end.ts";
import { ProxyCredential } from "./codec/proxy-credential.ts";
import { SOCKS5_REPLY, Socks5Handshake, socks5Reply } from "./codec/socks5.ts";
import { ENCRYPTED_HELLO } from "./encrypted-hello.ts";
import { explainRefusal } from "./explain-denial.ts";
import { judgeFirstBytes } from "./first-bytes.ts";
import type { HttpAction, HttpService, MutableFlow, RequestView } from "./http-service.ts";
import { Http1Server } from "./http1-server.ts";
import { serveHttp2 } from "./http2-server.ts";
import { type FirstBytes, protocolJudge } from "./judge-protocol.ts";
import { openTunnel } from "./open-tunnel.ts";
import {
  noteDecision,
  type OutboundPeer,
  OutboundService,
  type OutboundState,
  outboundFlow,
} from "./outbound-service.ts";
import { pickTarget } from "./pick-endpoint.ts";
import type { ProxyEnvironment, Snapshot } from "./proxy-environment.ts";
import { routeGone } from "./recheck.ts";

const SOCKS_VERSION = 5;
/** Where nothing is declared the server name decides nothing, but the record is to have it; a server-first client waits this long. */
const UNDECLARED_WAIT_MS = 250;
const NOTHING = Buffer.alloc(0);

/**
 * The client's side of a sidecar, reached as an explicit proxy (HTTP CONNECT, absolute-form HTTP, SOCKS5) on the pod's own
 * address. What is captured transparently elsewhere enters at `dial`.
 */
export class OutboundListener {
  readonly #env: ProxyEnvironment;
  readonly #credential: ProxyCredential;
  readonly #snapshot: () => Snapshot;
  readonly #state: () => OutboundState;
  #connections = 0;

  constructor(env: ProxyEnvironment, secret: string, snapshot: () => Snapshot, state: () => OutboundState) {
    this.#env = env;
    this.#credential = new ProxyCredential("bulwark", secret);
    this.#snapshot = snapshot;
    this.#state = state;
  }

  accept(socket: Socket): void {
    const { headTimeoutMs } = this.#env.http.limits;
    judgeFirstBytes<"socks" | "http">(
      socket,
      headTimeoutMs,
      (bytes, state) =>
        bytes.length > 0
          ? bytes[0] === SOCKS_VERSION
            ? "socks"
            : "http"
          : state === "open"
            ? undefined
            : "http",
      (kind) => {
        if (kind === undefined) return;
        if (kind === "socks") this.#socks(socket);
        else this.#http(socket);
      },
    );
  }

  /** A connection of the workload whose original destination is known. */
  dial(socket: Socket, dialed: DialedDestination): void {
    const { policy } = this.#state();
    const listener = policy.listenerProtocol(dialed);
    const readsName = listener === "tcp" ? policy.readsServerName(dialed) : true;
    if (readsName === false) {
      this.#dialedOpaque(socket, dialed, { kind: "other" }, NOTHING);
      return;
    }
    const { config } = this.#snapshot().mesh;
    const waitMs = readsName === undefined ? UNDECLARED_WAIT_MS : config.protocolDetectionTimeoutMs;
    judgeFirstBytes(socket, waitMs, protocolJudge(), (first, unread) => {
      if (first === undefined) return;
      const http = first.kind === "http1" || first.kind === "http2";
      if (listener !== "tcp" && http) this.#dialedHttp(socket, dialed, first.kind === "http2");
      else this.#dialedOpaque(socket, dialed, first, unread);
    });
  }

  #dialedHttp(socket: Socket, dialed: DialedDestination, http2: boolean): void {
    const service = new OutboundService(this.#peer(socket, dialed, http2), this.#state, this.#snapshot);
    if (http2) serveHttp2(socket, service, this.#env.http, this.#env.http2, ignore);
    else new Http1Server(new ByteStream(socket, HANDED_OVER), service, this.#env.http, ignore);
  }

  #dialedOpaque(socket: Socket, dialed: DialedDestination, first: FirstBytes, unread: Buffer): void {
    const peer = this.#peer(socket, dialed, false);
    const startedMs = performance.now();
    const { host, ip, port } = dialed;
    const sni = first.kind === "tls" ? first.hello.serverName : undefined;
    const flow = outboundFlow(
      "connection",
      peer.source,
      { host: sni ?? host, ip, port },
      peer.reporter,
      peer.connectionId,
    );
    flow.protocol = first.kind === "tls" ? "tls" : "tcp";
    flow.sni = sni;
    const { policy, picker } = this.#state();
    if (first.kind === "broken-tls") {
      this.#refuse(socket, { ...flow, verdict: "deny", layer: "protocol", reason: first.reason }, startedMs);
      return;
    }
    const named = sni === undefined ? dialed : { ...dialed, sni };
    const decision = first.kind === "tls" ? policy.routeTls(named) : policy.routeTcp(dialed);
    noteDecision(flow, decision);
    if (decision.kind !== "forward") {
      const protocol = first.kind === "tls" ? "tls" : "tcp";
      flow.explanation = explainRefusal(this.#snapshot(), { protocol, ...named }) ?? flow.explanation;
      this.#refuse(socket, flow, startedMs);
      return;
    }
    const target = pickTarget(decision.targets, Math.random());
    if (first.kind === "tls" && first.hello.hasEncryptedClientHello && leavesMesh(decision, target)) {
      Object.assign(flow, { verdict: "deny", reason: "sni-encrypted", explanation: [ENCRYPTED_HELLO] });
      this.#refuse(socket, flow, startedMs);
      return;
    }
    const asked = { ...dialed, name: sni ?? host };
    const next =
      target === undefined
        ? picker.direct(decision, asked, "tcp")
        : picker.next(decision, target, asked, "tcp");
    const recheck = () => {
      const { policy: now } = this.#state();
      const again = first.kind === "tls" ? now.routeTls(named) : now.routeTcp(dialed);
      return again.kind === "forward" ? undefined : routeGone(again.reason);
    };
    openTunnel(this.#env, { leave: decision, socket, unread, flow, startedMs, next, recheck });
  }

  #refuse(socket: Socket, flow: MutableFlow, startedMs: number): void {
    this.#env.http.counters.denied += 1;
    flow.durationMs = performance.now() - startedMs;
    this.#env.http.flows.push(flow);
    socket.destroy();
  }

  #socks(socket: Socket): void {
    const handshake = new Socks5Handshake(this.#credential);
    const timer = setTimeout(() => socket.destroy(), this.#env.http.limits.headTimeoutMs);
    const onData = (chunk: Buffer) => {
      const step = handshake.push(chunk);
      if (step.reply.length > 0) socket.write(step.reply);
      if (step.kind === "need-more") return;
      clearTimeout(timer);
      socket.off("data", onData);
      socket.pause();
      if (step.kind === "refused") {
        socket.end();
        return;
      }
      socket.write(socks5Reply(SOCKS5_REPLY.succeeded));
      if (step.rest.length > 0) socket.unshift(step.rest);
      this.dial(socket, dialedOf(step.target.host, step.target.port));
    };
    socket.once("close", () => clearTimeout(timer));
    socket.on("data", onData);
  }

  /** CONNECT opens a tunnel; anything else is served request by request, each with its own destination. */
  #http(socket: Socket): void {
    const { limits, headLimits } = this.#env.http;
    judgeFirstBytes<RequestHead | "serve">(
      socket,
      limits.headTimeoutMs,
      (bytes, state) => {
        const end = findHeadEnd(bytes, 0, 0, headLimits.maxHeadBytes);
        if (end === HEAD_INCOMPLETE) return state === "open" ? undefined : "serve";
        const head = end < 0 ? undefined : parseRequestHead(bytes, 0, end, headLimits);
        return head?.kind === "request" && head.method === "CONNECT" ? head : "serve";
      },
      (outcome) => {
        if (outcome === undefined) return;
        if (outcome === "serve") this.#serveProxy(socket);
        else this.#connect(socket, outcome);
      },
    );
  }

  #connect(socket: Socket, head: RequestHead): void {
    socket.read(head.block.text.length);
    const asked = readProxyRequest(head, this.#credential);
    if (asked.kind === "refused") {
      socket.end(asked.reply, "latin1");
      socket.resume();
      return;
    }
    socket.write(CONNECT_ESTABLISHED_REPLY, "latin1");
    this.dial(socket, dialedOf(asked.host, asked.port));
  }

  #serveProxy(socket: Socket): void {
    const peer = this.#peer(socket, { port: OUTBOUND_PROXY_PORT }, false);
    const service = new ExplicitProxyService(
      new OutboundService(peer, this.#state, this.#snapshot),
      this.#credential,
    );
    new Http1Server(new ByteStream(socket, HANDED_OVER), service, this.#env.http, ignore);
  }

  #peer(socket: Socket, dialed: DialedDestination, http2: boolean): OutboundPeer {
    const { workload } = this.#snapshot();
    const pod: PodPlacement = this.#env.pod;
    this.#connections += 1;
    const source: FlowSource = {
      workload: workload.key,
      principal: workload.spiffeId.slice("spiffe://".length),
      ip: socket.remoteAddress,
      port: socket.remotePort,
    };
    return {
      dialed,
      connectionId: `${pod.name}-out-${this.#connections}`,
      source,
      reporter: workload.key,
      http2,
    };
  }
}

/** Requests in absolute form, to an HTTP proxy: each names its own destination and proves that it may use this one. */
class ExplicitProxyService implements HttpService {
  readonly #service: OutboundService;
  readonly #credential: ProxyCredential;

  constructor(service: OutboundService, credential: ProxyCredential) {
    this.#service = service;
    this.#credential = credential;
  }

  decide(view: RequestView): HttpAction | Promise<HttpAction> {
    // INVARIANT: this service stands behind Http1Server only, whose views are the heads themselves.
    const asked = readProxyRequest(view as RequestHead, this.#credential);
    if (asked.kind === "forward") return this.#service.decideFor(view, dialedOf(asked.host, asked.port));
    const refusal = asked.kind === "refused" ? asked : { status: 400, reason: "not-a-proxy-request" };
    const fields =
      refusal.status === 407 ? fieldLines("proxy-authenticate", 'Basic realm="mesh"') : NO_FIELD_LINES;
    return {
      kind: "reply",
      status: refusal.status,
      fields: fields ?? NO_FIELD_LINES,
      body: refusal.reason,
      flow: this.malformed(refusal.status, refusal.reason),
    };
  }

  malformed(status: number, reason: string): MutableFlow {
    return this.#service.malformed(status, reason);
  }
}

/** Whether it goes to a server that no workload of the mesh is. A gateway is one: it judges the hello itself. */
function leavesMesh(decision: ForwardDecision, target: OutboundTarget | undefined): boolean {
  const service = target === undefined ? decision.dialled : target.cluster?.service;
  if (service === undefined) return true;
  return (
    service.origin === "service-entry" && !service.endpoints.some(({ workload }) => workload !== undefined)
  );
}

function ignore(): void {}

/** Replaced by whoever takes the stream over. */
const HANDED_OVER = { onData: ignore, onDrain: ignore, onEnd: ignore, onClose: ignore };

function dialedOf(host: string, port: number): DialedDestination {
  return isIP(host) === 0 ? { host, port } : { ip: host, port };
}
