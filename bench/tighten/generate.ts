/**
 * Logs for `tighten`, the same for the same numbers: requests to the workloads of a mesh of bench/verify, as their proxies write them. Callers are those
 * that the policies name; most paths hold an identifier, some are of health checks, some records are of refusals and of strangers.
 */
import { closeSync, openSync, writeSync } from "node:fs";

const PER_NAMESPACE = 10;
const CHUNK_CHARACTERS = 1 << 20;
const START_MS = Date.UTC(2026, 10, 1);
const SPAN_MS = 14 * 86_400_000;

/** Small and fast, and the same everywhere (Marsaglia's xorshift). */
function randomSource(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

function namespaceName(own: number): string {
  return `team-${String(own).padStart(4, "0")}`;
}

export function writeFlows(file: string, records: number, workloads: number): void {
  const random = randomSource(20_261_122);
  const namespaces = Math.ceil(workloads / PER_NAMESPACE);
  const output = openSync(file, "w");
  let chunk = "";
  for (let at = 0; at < records; at++) {
    const server = random(workloads);
    const time = new Date(START_MS + Math.floor((at / records) * SPAN_MS)).toISOString();
    chunk += `${JSON.stringify(recordOf(at, server, namespaces, time, random))}\n`;
    if (chunk.length < CHUNK_CHARACTERS) continue;
    writeSync(output, chunk);
    chunk = "";
  }
  writeSync(output, chunk);
  closeSync(output);
}

function recordOf(
  at: number,
  server: number,
  namespaces: number,
  time: string,
  random: (below: number) => number,
): object {
  const [own, place] = [Math.floor(server / PER_NAMESPACE), server % PER_NAMESPACE];
  const key = `${namespaceName(own)}/service-${place}`;
  const kind = random(100);
  const callers = [
    `${namespaceName(own)}/sa/service-${(place + 1) % PER_NAMESPACE}`,
    `${namespaceName((own + 1) % namespaces)}/sa/service-${(place + 3) % PER_NAMESPACE}`,
  ];
  const caller = kind === 99 ? "nowhere/sa/stranger" : callers[random(2)];
  const isDenied = kind >= 97;
  const [method, path] = requestOf(kind, place % 3, random);
  return {
    id: `${key}@6b7a8f9e10c2d3e4:${at}`,
    time,
    kind: "request",
    reporter: key,
    verdict: isDenied ? "deny" : "allow",
    direction: "inbound",
    protocol: "http",
    source: {
      workload: key,
      principal: `cluster.local/ns/${caller}`,
      ip: `10.${random(250)}.${random(250)}.7`,
      port: 40_000,
    },
    destination: {
      workload: key,
      service: `service-${place}.${namespaceName(own)}.svc.cluster.local`,
      ip: "10.1.2.3",
      port: 8080,
      host: `service-${place}`,
    },
    method,
    path,
    tls: {
      version: "TLSv1.3",
      cipher: "TLS_AES_128_GCM_SHA256",
      peerSerial: "457C9B08A9FE8BC1F08326519419C3E2",
      resumed: false,
    },
    layer: "authorization",
    reason: "allow-matched",
    policy: `AuthorizationPolicy ${key}`,
    rule: 0,
    connectionId: `service-${place}-0-${at}`,
    upstream: {
      ip: "127.0.0.1",
      port: 31_228,
      localIp: "127.0.0.1",
      localPort: 37_130,
      cluster: "inbound|8080||",
    },
    status: 200,
    bytesSent: 0,
    bytesReceived: 621,
    traceId: "4d6a6bac734348a4a3b265e91fa6bcd4",
    durationMs: 8.4,
  };
}

function requestOf(
  kind: number,
  version: number,
  random: (below: number) => number,
): readonly [method: string, path: string] {
  const id = random(1_000_000);
  if (kind < 40) return ["GET", `/api/v${version}/orders/${id}`];
  if (kind < 60) return ["GET", `/api/v${version}/orders/${id}/items?page=${random(9)}`];
  if (kind < 80) return ["POST", `/api/v${version}/orders`];
  if (kind < 90) return ["GET", `/api/v${version}/users/user-${id.toString(16)}/profile`];
  return ["GET", "/items"];
}
