/** The client's side, live: recorded requests sent through the client's own proxy, with responders at every address. */
import { rmSync, writeFileSync } from "node:fs";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { clientHello } from "../../src/attack/client-hello-bytes.ts";
import { findWorkload } from "../../src/model/build-mesh.ts";
import type { FlowDraft } from "../../src/model/flow-record.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import { OUTBOUND_PROXY_PORT, type StandIn } from "../../src/model/placement.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { CertificateForge, type LiveAuthority, type Names } from "./live-certificates.ts";
import { type Answer, dialThroughProxy, requestBytes } from "./live-client.ts";
import { authorityOf, LiveProxy, OUTBOUND_SECRET } from "./live-proxy.ts";
import { type Arrival, Responder } from "./live-responder.ts";
import { loadCase } from "./load-case.ts";
import type { RecordedRequest } from "./outbound.ts";
import type { CorpusDecision, CorpusRunner } from "./runner.ts";

type Fields = Readonly<Record<string, unknown>>;

/** What a cluster does, as recorded; a decision without weights is its own only member. */
interface RecordedMember {
  readonly cluster?: string;
  readonly weight?: number;
  readonly tls?: string;
  readonly tlsByEndpoint?: Readonly<Record<string, string>>;
  readonly sni?: string;
  readonly sans?: readonly string[];
  readonly endpoints?: readonly string[];
  readonly headersAdded?: Readonly<Record<string, string>>;
}

interface RecordedDecision extends RecordedMember {
  readonly id: string;
  readonly allowed: boolean;
  readonly code: number;
  readonly reason: string;
  readonly clusters?: readonly RecordedMember[];
  readonly upstreamPath?: string;
  readonly upstreamHost?: string;
  readonly headersRemoved?: readonly string[];
  readonly location?: string;
  readonly body?: string;
}

/** Cluster addresses of the recorded meshes. */
const SERVICE_NETWORK = "10.96.";
const TCP_BYTES = Buffer.from("PING\n");
/** Endpoints with weights are taken in blocks; the recordings themselves took 150 samples. */
const MAX_SAMPLES = 150;
/** Servers outside of the mesh have certificates of this CA. */
const outside = CertificateForge.alone();
/** Listens for the whole run: the addresses and ports of all cases. */
const responder = new Responder({ terminate: (hello, alpn) => stage.serverContext(hello, alpn) });

export const liveOutboundRunner: CorpusRunner = {
  corpus: "corpus-outbound",
  runCase: async (folder) => {
    const copy = await withFiles(folder);
    const { mesh, requests, decisions } = await loadCase<RecordedRequest, RecordedDecision>(copy);
    await listenOnPortsOf(folder);
    const authority = await authorityOf(mesh.config.trustDomain);
    const proxies = await startProxies(mesh, requests);
    const byId = new Map(decisions.map((decision) => [decision.id, decision]));
    const compared: CorpusDecision[] = [];
    for (const request of requests) {
      const recorded = byId.get(request.id);
      const proxy = proxies.get(request.from.workload);
      if (recorded === undefined || proxy === undefined)
        throw new Error(`${folder}: ${request.id} is incomplete`);
      const hello = request.protocol === "tls" ? await clientHello(request.sni ?? "") : undefined;
      const probe = new Probe(proxy, authority, request, hello);
      compared.push({ id: request.id, ...(await compare(probe, recorded)) });
    }
    await Promise.all([...proxies.values()].map((proxy) => proxy.stop()));
    rmSync(copy, { recursive: true });
    return compared;
  },
};

/** Which certificate servers show at present, and which ClientHello is the client's own. */
const stage = {
  names: [] as Names,
  hello: undefined as Buffer | undefined,
  mesh: outside,
  serverContext(hello: Buffer, alpn: readonly string[]) {
    if (stage.hello?.equals(hello) === true) return undefined;
    const isMesh = alpn.some((name) => name.startsWith("istio"));
    return isMesh ? stage.mesh.context(stage.names) : outside.context(stage.names, "TLSv1.2");
  },
};

/** A copy of the case in which the TLS files that DestinationRules name are there. */
async function withFiles(folder: string): Promise<string> {
  const copy = temporaryFolder("bulwark-case-");
  const { certificateChain, privateKey } = outside.pem(["client.test"]);
  const contents = {
    clientCertificate: certificateChain,
    privateKey,
    caCertificates: outside.rootPem,
  };
  for (const [name, pem] of Object.entries(contents)) writeFileSync(join(copy, name), pem, { mode: 0o600 });
  for (const name of ["requests.json", "expected.json"]) await copyFile(join(folder, name), join(copy, name));
  const mesh = await readFile(join(folder, "mesh.yaml"), "utf8");
  const moved = mesh.replace(
    /^( *)(clientCertificate|privateKey|caCertificates): .+$/gm,
    (_line, indent: string, name: string) => `${indent}${name}: ${join(copy, name)}`,
  );
  await writeFile(join(copy, "mesh.yaml"), moved);
  return copy;
}

/** Every number in a case that can be a port is one that may be dialled. */
async function listenOnPortsOf(folder: string): Promise<void> {
  const texts = await Promise.all(
    ["mesh.yaml", "requests.json"].map((name) => readFile(join(folder, name), "utf8")),
  );
  const numbers = texts.flatMap((text) => text.match(/\b\d{1,5}\b/g) ?? []).map(Number);
  for (const port of new Set(numbers))
    if (port > 0 && port < 65536 && port !== OUTBOUND_PROXY_PORT) await responder.listen("0.0.0.0", port);
}

async function startProxies(
  mesh: Mesh,
  requests: readonly RecordedRequest[],
): Promise<Map<string, LiveProxy>> {
  const standIns = standInsOf(mesh, requests);
  const proxies = new Map<string, LiveProxy>();
  for (const key of new Set(requests.map(({ from }) => from.workload))) {
    const workload = findWorkload(mesh, key);
    if (workload === undefined) throw new Error(`no workload ${key}`);
    proxies.set(key, await LiveProxy.start(mesh, workload, { standIns, externalCaPem: outside.rootPem }));
  }
  return proxies;
}

/** Addresses of all names in a case, as the recording's DNS server gave them. */
function standInsOf(mesh: Mesh, requests: readonly RecordedRequest[]): StandIn[] {
  const names = [
    ...requests.flatMap(({ to, sni = "", authority = "" }) => [to.host, sni, authority.replace(/:\d+$/, "")]),
    ...mesh.services.flatMap(({ hostname, externalName = "", endpoints }) => [
      hostname,
      externalName,
      ...endpoints.map(({ address = "" }) => address),
    ]),
  ];
  return [...new Set(names)]
    .filter((name) => name !== "" && isIP(name) === 0 && !name.startsWith("*"))
    .map((host) => ({ host, address: addressOfName(host.toLowerCase()) }));
}

/** FNV-1a. */
function addressOfName(name: string): string {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return `198.18.${(hash >>> 8) & 0xff}.${(hash % 250) + 1}`;
}

/** One request, sent as often as it takes to see all that was recorded of it. */
class Probe {
  readonly request: RecordedRequest;
  readonly #proxy: LiveProxy;
  readonly #authority: LiveAuthority;
  readonly #hello: Buffer | undefined;

  constructor(
    proxy: LiveProxy,
    authority: LiveAuthority,
    request: RecordedRequest,
    hello: Buffer | undefined,
  ) {
    this.#proxy = proxy;
    this.#authority = authority;
    this.request = request;
    this.#hello = hello;
  }

  /**
   * @param names of the certificate that every server shows.
   * @param roll what chance says: 0 ≤ roll < 1.
   */
  async send(names: Names, roll: number): Promise<Sent> {
    const { to, protocol } = this.request;
    stage.names = names;
    stage.hello = this.#hello;
    stage.mesh = this.#authority.forge;
    responder.arrivals.length = 0;
    this.#proxy.flows.length = 0;
    const chance = Math.random;
    Math.random = () => roll;
    const answer = await dialThroughProxy(
      { from: this.#proxy.address, address: this.#proxy.address, port: OUTBOUND_PROXY_PORT },
      { secret: OUTBOUND_SECRET, address: to.ip, port: to.port },
      protocol === "http" ? httpBytes(this.request) : (this.#hello ?? TCP_BYTES),
    );
    Math.random = chance;
    const flow = await this.#proxy.flow(
      ({ direction, reason }) => direction === "outbound" && reason !== "mirror",
    );
    return { answer, arrival: responder.arrivals.find((arrival) => !isCopy(arrival)), flow };
  }

  /** What the wire says of the sidecar's TLS. */
  tlsOf(arrival: Arrival): string {
    if (arrival.tls !== undefined) return arrival.tls.kind;
    return this.#hello === undefined || this.#hello.equals(arrival.bytes) ? "plaintext" : "garbled";
  }
}

interface Sent {
  readonly answer: Answer;
  readonly arrival: Arrival | undefined;
  readonly flow: FlowDraft | undefined;
}

function httpBytes({ method = "GET", path = "/", authority, to, headers = [] }: RecordedRequest): Buffer {
  return requestBytes(method, path, authority ?? to.host, headers);
}

async function compare(
  probe: Probe,
  recorded: RecordedDecision,
): Promise<{ expected: Fields; actual: Fields }> {
  const { allowed, code, reason, clusters, headersAdded } = recorded;
  const base = { allowed, code, reason };
  if (!allowed) {
    const { answer, arrival, flow } = await probe.send([], 0);
    const { location, body } = recorded;
    return {
      expected: { ...base, location, body },
      actual: {
        ...outcome(answer, arrival, flow),
        location: answer.headers.get("location"),
        body: body === undefined ? undefined : answer.body,
      },
    };
  }
  if (clusters === undefined) {
    const seen = await observe(probe, recorded, 0.5);
    return { expected: { ...base, ...expectedMember(probe, recorded, recorded) }, actual: seen };
  }
  return compareWeighted(probe, recorded, base, clusters, headersAdded ?? {});
}

/** Each member in the middle of its share, and its cluster at both of its ends. */
async function compareWeighted(
  probe: Probe,
  recorded: RecordedDecision,
  base: Fields,
  clusters: readonly RecordedMember[],
  everywhere: Readonly<Record<string, string>>,
): Promise<{ expected: Fields; actual: Fields }> {
  const total = clusters.reduce((sum, { weight = 0 }) => sum + weight, 0);
  const expected: Record<string, unknown> = {};
  const actual: Record<string, unknown> = {};
  let below = 0;
  for (const own of clusters) {
    const weight = own.weight ?? 0;
    if (weight === 0) continue;
    const member = { ...own, headersAdded: { ...own.headersAdded, ...everywhere } };
    const name = own.cluster ?? "";
    const from = below / total;
    below += weight;
    const to = below / total;
    const isServed = own.tls !== undefined;
    expected[name] = isServed ? { ...base, ...expectedMember(probe, recorded, member) } : NOT_SERVED;
    const seen = await observe(probe, member, (from + to) / 2);
    actual[name] = isServed ? seen : { code: seen.code, arrived: seen.allowed };
    for (const [edge, roll] of [
      ["first", from + 1e-9],
      ["last", to - 1e-9],
    ] as const) {
      expected[`${name} ${edge}`] = isServed ? name : undefined;
      const { arrival, flow } = await probe.send(namesFor(probe, member, 0), roll);
      actual[`${name} ${edge}`] = arrival === undefined ? undefined : flow?.upstream?.cluster;
    }
  }
  return { expected, actual };
}

const NOT_SERVED = { code: 503, arrived: false };

function expectedMember(probe: Probe, recorded: RecordedDecision, member: RecordedMember): Fields {
  const { cluster, tls, tlsByEndpoint, sni, sans, headersAdded, endpoints = [] } = member;
  const { upstreamPath, upstreamHost, headersRemoved } = recorded;
  const isHttp = probe.request.protocol === "http";
  const where = isBehindVip(probe, member) ? [] : endpoints.map(withoutName);
  return {
    cluster,
    tls,
    tlsByEndpoint: tlsByEndpoint === undefined ? undefined : sortedFields(tlsByEndpoint),
    sni: tls === "plaintext" ? undefined : sni,
    sans: tls === "plaintext" || sans === undefined ? undefined : [...sans].sort(),
    endpoints: [...new Set(where)].sort(),
    upstreamPath: isHttp ? (upstreamPath ?? probe.request.path ?? "/") : undefined,
    upstreamHost: isHttp ? (upstreamHost ?? probe.request.authority ?? probe.request.to.host) : undefined,
    headersAdded: isHttp ? sortedFields(headersAdded ?? {}) : undefined,
    headersRemoved: isHttp ? [...(headersRemoved ?? [])].sort() : undefined,
  };
}

/**
 * Whether the original destination is all that was recorded of where it went. What stands for kube-proxy differs: the
 * recording's responders had the virtual address itself, our substrate sends to a pod behind it.
 */
function isBehindVip({ request: { to } }: Probe, { endpoints = [] }: RecordedMember): boolean {
  return (
    to.ip.startsWith(SERVICE_NETWORK) && endpoints.every((endpoint) => endpoint === `${to.ip}:${to.port}`)
  );
}

function withoutName(endpoint: string): string {
  const colon = endpoint.lastIndexOf(":");
  const host = endpoint.slice(0, colon);
  return isIP(host) === 0 ? `${addressOfName(host)}${endpoint.slice(colon)}` : endpoint;
}

/** Sends until every endpoint was seen, and every name that the server may have was tried; then as an impostor. */
async function observe(probe: Probe, member: RecordedMember, roll: number): Promise<Record<string, unknown>> {
  const { sans = [], tls = "plaintext", endpoints = [] } = member;
  const seen = new Map<string, string>();
  const accepted = new Set<string>();
  let last = await probe.send(namesFor(probe, member, 0), roll);
  let served = last;
  for (let count = 1; ; count++) {
    const { arrival } = last;
    if (arrival !== undefined) {
      if (arrival.tls !== undefined || served.arrival?.tls === undefined) served = last;
      seen.set(`${arrival.address}:${arrival.port}`, probe.tlsOf(arrival));
      if (arrival.tls !== undefined) accepted.add(sans[(count - 1) % sans.length] ?? "");
    }
    const isComplete = seen.size >= endpoints.length && (tls === "plaintext" || accepted.size >= sans.length);
    if (arrival === undefined || count >= MAX_SAMPLES || isComplete) break;
    last = await probe.send(namesFor(probe, member, count), roll);
  }
  if (sans.length > 0 && tls !== "plaintext" && (await takesImpostor(probe, endpoints.length, roll)))
    accepted.add("an impostor");
  return {
    ...outcome(last.answer, served.arrival, served.flow),
    ...arrivedFields(probe, served, member, seen, accepted),
  };
}

/** A server with a certificate of the right CA and a wrong name must get nothing. */
async function takesImpostor(probe: Probe, endpoints: number, roll: number): Promise<boolean> {
  for (let count = 0; count < endpoints; count++) {
    const { arrival } = await probe.send(
      ["spiffe://impostor.test/ns/impostor/sa/impostor", "impostor.test"],
      roll,
    );
    if (arrival?.tls !== undefined) return true;
  }
  return false;
}

/** A name that the sidecar should take; where none was recorded, any of the mesh's, or what its server name asks for. */
function namesFor(probe: Probe, { sans = [], tls, sni }: RecordedMember, count: number): Names {
  const san = sans[count % sans.length];
  if (san !== undefined) return [san];
  if (tls === "mtls" || tls === "mixed") return ["spiffe://cluster.local/ns/any/sa/any"];
  return [sni ?? probe.request.to.host];
}

function outcome(
  answer: Answer,
  arrival: Arrival | undefined,
  flow: FlowDraft | undefined,
): Record<string, unknown> {
  return {
    allowed: arrival !== undefined,
    code: answer.status,
    reason: answer.timedOut ? "timeout" : (flow?.reason ?? "nothing recorded"),
  };
}

function arrivedFields(
  probe: Probe,
  { arrival, flow }: Sent,
  member: RecordedMember,
  seen: ReadonlyMap<string, string>,
  accepted: ReadonlySet<string>,
): Fields {
  if (arrival === undefined) return {};
  const isHttp = probe.request.protocol === "http";
  const [, upstreamPath] = arrival.requestLine?.split(" ") ?? [];
  const modes = new Set(seen.values());
  const { sans } = member;
  return {
    cluster: flow?.upstream?.cluster,
    tls: modes.size > 1 ? "mixed" : [...modes][0],
    tlsByEndpoint: modes.size > 1 ? sortedFields(Object.fromEntries(seen)) : undefined,
    sni: arrival.tls?.sni,
    sans:
      sans === undefined || modes.values().every((mode) => mode === "plaintext")
        ? undefined
        : [...accepted].sort(),
    endpoints: isBehindVip(probe, member) ? [] : [...seen.keys()].sort(),
    upstreamPath,
    upstreamHost: arrival.headers.find(([name]) => name === "host")?.[1],
    ...(isHttp ? headerFields(probe.request, arrival) : {}),
  };
}

/** Headers that every Envoy, or every proxy of ours, puts on: the recordings leave them out. */
const USUAL =
  /^(host|x-request-id|x-forwarded-proto|x-envoy-(attempt-count|decorator-operation|peer-metadata.*)|traceparent)$/;

/** Mirrors' copies say so by their Host; the recordings are of the requests themselves. */
function isCopy({ headers }: Arrival): boolean {
  return headers.some(([name, value]) => name === "host" && /-shadow(:\d+)?$/.test(value));
}

function headerFields({ headers = [] }: RecordedRequest, arrival: Arrival): Fields {
  const sent = joined(headers);
  const received = joined(arrival.headers);
  const added = [...received].filter(([name, value]) => !USUAL.test(name) && sent.get(name) !== value);
  return {
    headersAdded: sortedFields(Object.fromEntries(added)),
    headersRemoved: [...sent.keys()].filter((name) => !received.has(name)).sort(),
  };
}

/** Repeats of a header as one list. */
function joined(headers: readonly (readonly [string, string])[]): Map<string, string> {
  const all = new Map<string, string>();
  for (const [written, value] of headers) {
    const name = written.toLowerCase();
    const before = all.get(name);
    all.set(name, before === undefined ? value.trim() : `${before},${value.trim()}`);
  }
  return all;
}

function sortedFields(fields: Readonly<Record<string, string>>): Fields {
  return Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1)));
}
