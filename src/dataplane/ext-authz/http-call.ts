/** Asks HTTP authorizers. Off the hot path, so by Node's own client; its connections are the mesh's, checked before a byte is sent. */
import type { Agent, ClientRequest, IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { http } from "../../resources/node-http.ts";
import { connectUpstream, type UpstreamSettings } from "../connect-upstream.ts";
import { asObject } from "../routed/http2-call.ts";
import type { UpstreamTarget } from "../upstream-target.ts";
import type { HttpCheckResponse } from "./check-answer.ts";
import type { HttpCheck } from "./check-input.ts";

/** More than any page that says no. */
export const MAX_ANSWER_BYTES = 1 << 20;
const MAX_IDLE = 16;
/** To one authorizer: more questions wait, within their time-outs. */
const MAX_CONNECTIONS = 256;
/** Below the 5 s after which Node's own servers close an idle connection. */
const IDLE_MS = 4000;

/** Connections to HTTP authorizers, kept for a while; none outlives a change of certificates. */
export class HttpCalls {
  readonly #settings: UpstreamSettings;
  readonly #agents = new Map<string, MeshAgent>();

  constructor(settings: UpstreamSettings) {
    this.#settings = settings;
  }

  /** @throws {BulwarkError} BW_AUTHORIZER_…, or what connecting failed with; the signal's reason when it is aborted. */
  async ask(target: UpstreamTarget, check: HttpCheck, signal: AbortSignal): Promise<HttpCheckResponse> {
    const agent = this.#agentFor(target);
    try {
      return await exchange(agent, target, check, signal);
    } catch (error) {
      // It closed an idle connection in the same moment: asking again is as asking once.
      if (error instanceof StaleConnection) return await exchange(agent, target, check, signal);
      throw error;
    }
  }

  clear(): void {
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents.clear();
  }

  #agentFor(target: UpstreamTarget): MeshAgent {
    let agent = this.#agents.get(target.poolKey);
    if (agent === undefined) {
      agent = new MeshAgent(target, this.#settings);
      this.#agents.set(target.poolKey, agent);
    }
    return agent;
  }
}

class StaleConnection extends Error {}

class MeshAgent extends http.Agent {
  readonly #target: UpstreamTarget;
  readonly #settings: UpstreamSettings;

  constructor(target: UpstreamTarget, settings: UpstreamSettings) {
    super({ keepAlive: true, maxSockets: MAX_CONNECTIONS, maxFreeSockets: MAX_IDLE, timeout: IDLE_MS });
    this.#target = target;
    this.#settings = settings;
  }

  override createConnection(
    _options: object,
    done?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    connectUpstream(this.#target, this.#settings, false, (outcome) => {
      if (outcome instanceof Error) (done as ((error: Error) => void) | undefined)?.(outcome);
      else done?.(null, outcome);
    });
    return undefined;
  }
}

function exchange(
  agent: Agent,
  target: UpstreamTarget,
  { method, path, headers, body }: HttpCheck,
  signal: AbortSignal,
): Promise<HttpCheckResponse> {
  const { promise, resolve, reject } = Promise.withResolvers<HttpCheckResponse>();
  const { host, port } = target;
  const asking: ClientRequest = http.request({
    agent,
    host,
    port,
    method,
    path,
    // As an object: a list would be written at once, with the method in capitals.
    headers: asObject(headers),
    signal,
    setHost: false,
  });
  // Node makes it capitals: INVARIANT: what is asked about is what goes on.
  asking.method = method;
  asking.on("response", (response) => readAnswer(response).then(resolve, reject));
  asking.on("error", (error: NodeJS.ErrnoException) =>
    reject(asking.reusedSocket && error.code === "ECONNRESET" ? new StaleConnection(error.message) : error),
  );
  asking.end(body);
  return promise;
}

async function readAnswer(response: IncomingMessage): Promise<HttpCheckResponse> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_ANSWER_BYTES) {
      response.destroy();
      throw new BulwarkError("BW_AUTHORIZER_ANSWER", "its answer is longer than 1 MiB");
    }
    chunks.push(chunk);
  }
  const { rawHeaders, statusCode = 0 } = response;
  return {
    status: statusCode,
    headers: rawHeaders.map((text, at) => (at % 2 === 0 ? text.toLowerCase() : text.trim())),
    body: Buffer.concat(chunks).toString("utf8"),
  };
}
