/** The answer of the slow interpreter, from the case's plain data: nothing of the product's model or compilers, but for how a path is read. */
import {
  type ReferenceCustom,
  referenceAuthorization,
  referenceCustom,
} from "../../test/policy/reference/reference-decision.ts";
import { type KnownToken, referenceTokens } from "../../test/policy/reference/reference-token.ts";
import {
  type Mode,
  type Protocol,
  type ReferenceChain,
  referenceChain,
} from "../../test/policy/reference/reference-transport.ts";
import {
  type ConnectionSpec,
  type MeshSpec,
  POD,
  type RequestSpec,
  type Selection,
} from "./differential-case.ts";
import { fixedAnswer, isFixedlyAllowed, SHOWN_BYTES } from "./fixed-authorizer.ts";
import type { SentRequest } from "./materialize.ts";
import { type Outcome, refusedConnection } from "./outcome.ts";
import type { TokenSigner } from "./token-signer.ts";

const PROTOCOLS: ReadonlyMap<number, Protocol> = new Map([
  [8080, "http"],
  [9000, "tcp"],
  [7000, "auto"],
]);

/** A request as sent, and how the product reads it: null where it refuses to. */
export interface ReadRequest {
  readonly spec: RequestSpec;
  readonly sent: SentRequest;
  readonly read: { readonly path: string; readonly authority: string } | null;
  /** For one that is not read. */
  readonly refusal: Outcome;
}

export function referredOutcomes(
  mesh: MeshSpec,
  spec: ConnectionSpec,
  requests: readonly ReadRequest[],
  podAddress: string,
  signer: TokenSigner,
): Outcome[] {
  const tls = spec.tls !== "plaintext";
  if (mesh.gateway != null) {
    const edge = edgeChain(spec);
    if (typeof edge === "string") return requests.map(() => refusedConnection(edge));
    return requests.map((request) => requestOutcome(mesh, spec, edge, request, podAddress, signer));
  }
  const chain = referenceChain(modeOf(mesh, spec.port), PROTOCOLS.get(spec.port) ?? "auto", {
    tls,
    alpn: spec.alpn,
    speaksHttp: spec.http,
  });
  const refusal = connectionRefusal(mesh, spec, chain);
  if (refusal !== undefined || chain === undefined)
    return requests.map(() => refusal ?? refusedConnection("no-chain"));
  return requests.map((request) => requestOutcome(mesh, spec, chain, request, podAddress, signer));
}

/** What a server of the gateway makes of a connection, or why it refuses it. */
function edgeChain({ port, tls }: ConnectionSpec): ReferenceChain | string {
  const plain = tls === "plaintext";
  const chain = (protocol: "http" | "tcp", mutual: boolean): ReferenceChain => ({
    transport: protocol === "tcp" || plain ? "raw_buffer" : "tls",
    alpn: [],
    protocol,
    mutual,
  });
  switch (port) {
    case 8080:
      return plain ? chain("http", false) : "tls";
    case 9000:
      return chain("tcp", false);
    case 7000:
      return tls === "mtls" ? chain("http", true) : "tls";
    default:
      return plain ? "tls" : chain("http", false);
  }
}

/** The headers that a proxy makes itself. */
function ownHeaders(
  headers: Headers,
  { gateway = null }: MeshSpec,
  { tls, sourceIp, principal }: ConnectionSpec,
  mutual: boolean,
): Headers {
  const scheme = tls === "plaintext" ? "http" : "https";
  const list = (name: string): string[] => {
    return headers.some(([own]) => own === name) ? [listed(headers, name)] : [];
  };
  const appended = (texts: readonly string[]): string => texts.filter((text) => text !== "").join(",");
  const trusted = gateway === null ? 1 : (gateway.own ?? gateway.meshWide);
  const protocol = trusted === 0 ? scheme : (list("x-forwarded-proto")[0] ?? scheme);
  const before = gateway === null ? list(XFCC) : [];
  const own: [string, string][] = [["x-forwarded-proto", protocol]];
  if (mutual) own.push([XFCC, appended([...before, `By=me;URI=spiffe://${principal}`])]);
  const hops = [...list("x-forwarded-for"), ...(gateway === null ? [] : [sourceIp])];
  if (hops.length > 0) own.push(["x-forwarded-for", appended(hops)]);
  const names = new Set(["x-forwarded-proto", "x-forwarded-for", XFCC]);
  return [...headers.filter(([name]) => !names.has(name)), ...own];
}

const XFCC = "x-forwarded-client-cert";

/** Workload over namespace over mesh; the first written of each level. */
function modeOf(mesh: MeshSpec, port: number): Mode {
  const first = (namespace: string, selects: Selection) =>
    mesh.peers.find((peer) => peer.namespace === namespace && peer.selects === selects);
  const own = first("foo", "own");
  const said = [
    own?.ports[String(port)],
    own?.mode,
    first("foo", "all")?.mode,
    first("istio-system", "all")?.mode,
  ];
  for (const mode of said) if (mode !== undefined && mode !== null && mode !== "UNSET") return mode;
  return "PERMISSIVE";
}

function connectionRefusal(
  mesh: MeshSpec,
  spec: ConnectionSpec,
  chain: ReferenceChain | undefined,
): Outcome | undefined {
  if (chain === undefined) return refusedConnection("no-chain");
  const tls = spec.tls !== "plaintext";
  if (tls && chain.protocol === "http" && !chain.mutual) return refusedConnection("tls");
  if (!chain.mutual) return undefined;
  const trusted = [mesh.trustDomain, ...mesh.trustDomainAliases].some((own) =>
    `spiffe://${spec.principal}`.startsWith(`spiffe://${own}/`),
  );
  return spec.tls === "mtls" && trusted ? undefined : refusedConnection("tls");
}

function requestOutcome(
  mesh: MeshSpec,
  spec: ConnectionSpec,
  chain: ReferenceChain,
  request: ReadRequest,
  podAddress: string,
  signer: TokenSigner,
): Outcome {
  const http = chain.protocol === "http";
  if (http && request.read === null) return request.refusal;
  const { read } = request;
  const policies = policiesOf(mesh, podAddress);
  const factsOf = (headers: Headers, claims: KnownToken["claims"] | null) => ({
    http,
    subject: chain.mutual ? spiffeName(spec.principal) : null,
    sourceIp: spec.sourceIp,
    remoteIp: http ? remoteIp(mesh, headers, spec.sourceIp) : spec.sourceIp,
    destinationIp: podAddress,
    port: spec.port,
    sni: chain.transport === "tls" ? spec.sni.toLowerCase() : "",
    method: request.sent.method,
    path: read?.path ?? "",
    host: read?.authority ?? "",
    headers: joined(ownHeaders(headers, mesh, spec, chain.mutual)),
    claims,
    trustDomains: [...new Set([mesh.trustDomain, ...mesh.trustDomainAliases])],
    strict: false,
  });
  const came = normal(request.sent.headers);
  const custom = customOf(referenceCustom(policies, factsOf(came, null), PROVIDER_KINDS), request, came, {
    http,
    sourceIp: spec.sourceIp,
  });
  if ("refusal" in custom) return custom.refusal;
  const sent = { ...request.sent, headers: custom.headers };
  const tokens = http
    ? tokensOf(mesh, { ...request, sent }, signer)
    : ({ code: 200, claims: null, headers: sent.headers } as const);
  if (tokens.code !== 200)
    return { allowed: false, reason: "jwt", code: tokens.code, rule: null, forwarded: null, told: null };
  const decision = referenceAuthorization(policies, factsOf(normal(tokens.headers), tokens.claims));
  return {
    allowed: decision.allowed,
    reason: decision.reason,
    code: http ? (decision.allowed ? 200 : 403) : 0,
    rule: decision.policy === null ? null : `${decision.policy.split(" ")[1]}#${decision.rule}`,
    forwarded: null,
    told: null,
  };
}

type Headers = readonly (readonly [string, string])[];

function normal(headers: Headers): Headers {
  return headers.map(([name, value]) => [name.toLowerCase(), value.trim()]);
}

const PROVIDER_KINDS: ReadonlyMap<string, "grpc" | "http"> = new Map([
  ["grpc", "grpc"],
  ["http", "http"],
  ["grpc-body", "grpc"],
  ["http-body", "http"],
  ["gone", "grpc"],
  ["gone-open", "grpc"],
]);

/** The headers as they go on, or the refusal. */
function customOf(
  custom: ReferenceCustom,
  { sent, read }: ReadRequest,
  headers: Headers,
  { http, sourceIp }: { readonly http: boolean; readonly sourceIp: string },
): { readonly headers: Headers } | { readonly refusal: Outcome } {
  if (custom.kind === "pass") return { headers };
  const refused = (reason: string, code: number, told: string | null) => ({
    refusal: {
      allowed: false,
      reason,
      code: http ? code : 0,
      rule: `${custom.policy.split(" ")[1]}#${custom.rule}`,
      forwarded: null,
      told,
    },
  });
  if (custom.kind === "deny") return refused("rbac", 403, null);
  if (custom.provider === "gone-open") return { headers };
  if (custom.provider === "gone") return refused("ext-authz", 503, null);
  if (!http) return isFixedlyAllowed(sourceIp) ? { headers } : refused("ext-authz", 0, null);
  const role = headers.flatMap(([name, value]) => (name === "x-role" ? [value] : [])).join(",");
  const text = sent.body?.text ?? "";
  if (custom.provider === "http-body" && text.length > SHOWN_BYTES) return refused("ext-authz", 413, null);
  const body = custom.provider.endsWith("-body") ? text.slice(0, SHOWN_BYTES) : "";
  const answer = fixedAnswer({
    overHttp: custom.provider.startsWith("http"),
    method: sent.method,
    path: read?.path ?? "",
    role,
    body,
  });
  if (answer.status !== 200) return refused("ext-authz", answer.status, answer.decided);
  const touched = new Set([...answer.set.map(([name]) => name), ...answer.remove]);
  return { headers: [...headers.filter(([name]) => !touched.has(name)), ...answer.set] };
}

function tokensOf(mesh: MeshSpec, { spec, sent, read }: ReadRequest, signer: TokenSigner) {
  const rules = ["foo", "istio-system"].flatMap((namespace) =>
    mesh.tokens
      .filter((policy) => policy.namespace === namespace && policy.selects !== "others")
      .flatMap((policy) => policy.rules),
  );
  const { token } = spec;
  const known: KnownToken[] =
    token === null
      ? []
      : [
          {
            text: signer.sign(token),
            wellFormed: token.flaw === "none",
            claims: token.claims,
            signer: token.signer === "issuer" ? String(token.claims.iss) : null,
          },
        ];
  return referenceTokens(rules, { ...sent, path: read?.path ?? "" }, known);
}

function policiesOf(mesh: MeshSpec, podAddress: string) {
  return mesh.policies
    .map((policy, index) => ({ ...policy, name: `p${index}` }))
    .filter(({ namespace, selects }) => namespace !== "bar" && selects !== "others")
    .map(({ namespace, name, dryRun, action, provider, rules }) => ({
      namespace,
      name,
      dryRun,
      spec: {
        action,
        ...(provider === undefined ? {} : { provider: { name: provider } }),
        rules: JSON.parse(JSON.stringify(rules).replaceAll(POD, podAddress)) as typeof rules,
      },
    }));
}

function spiffeName(principal: string): string {
  return principal.startsWith("dns:") ? principal.slice("dns:".length) : `spiffe://${principal}`;
}

const ADDRESS = /^(\d{1,3}(\.\d{1,3}){3}|[0-9a-f]*:[0-9a-f:]*)$/;

/**
 * Sidecars take the last entry of X-Forwarded-For, where it is an address; gateways the one that the outermost of their trusted proxies
 * wrote, or their peer. A comma at the very end separates nothing.
 */
function remoteIp({ gateway = null }: MeshSpec, headers: Headers, peer: string): string {
  const trusted = gateway === null ? 1 : (gateway.own ?? gateway.meshWide);
  if (trusted === 0) return peer;
  const entry = listed(headers, "x-forwarded-for").split(",").at(-trusted)?.trim() ?? "";
  return ADDRESS.test(entry) ? entry : peer;
}

/** Several headers as one list, in which empty ones have no place. */
function listed(headers: readonly (readonly [string, string])[], name: string): string {
  return headers
    .filter(([own, value]) => own === name && value !== "")
    .map(([, value]) => value)
    .join(",");
}

/** Envoy keeps some headers as one list. */
function joined(headers: readonly (readonly [string, string])[]): (readonly [string, string])[] {
  const others = headers.filter(([name]) => name !== "user-agent");
  return others.length === headers.length
    ? others
    : [...others, ["user-agent", listed(headers, "user-agent")]];
}
