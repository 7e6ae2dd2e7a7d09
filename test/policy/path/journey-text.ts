/** The ways of a request in one line a hop, with every field of it, so that tables can pin them whole. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Mesh } from "../../../src/index.ts";
import type { AccessRequest } from "../../../src/policy/path/access-request.ts";
import { compiledPolicies } from "../../../src/policy/path/compiled-policies.ts";
import { decideWays } from "../../../src/policy/path/follow.ts";
import type { JourneyContext, Step } from "../../../src/policy/path/journey.ts";

/** 2026-01-01. */
const NOW_SECONDS = 1_767_225_600;

export interface ToldWay {
  readonly by: readonly string[];
  readonly steps: readonly string[];
}

export interface ToldJourney {
  readonly ways: readonly ToldWay[];
  /** Of the first way, by hop. */
  readonly explained: readonly (readonly string[])[];
  readonly fields: object;
}

export interface JourneyOptions extends Partial<JourneyContext> {
  readonly clientOnly?: boolean;
}

export function contextOf(mesh: Mesh, options: Partial<JourneyContext> = {}): JourneyContext {
  const { semantics = "istio" } = options;
  return {
    mesh,
    semantics,
    compiled: compiledPolicies(mesh, semantics),
    nowSeconds: () => NOW_SECONDS,
    ...options,
  };
}

export async function journey(
  mesh: Mesh,
  request: AccessRequest,
  { clientOnly = false, ...options }: JourneyOptions = {},
): Promise<ToldJourney> {
  const { ways, fields } = await decideWays(contextOf(mesh, options), request, clientOnly);
  for (const step of ways.flatMap(({ steps }) => steps))
    for (const [name, value] of Object.entries(step))
      assert.notEqual(value, undefined, `${name} is left out`);
  return {
    ways: ways.map(({ by, steps }) => ({ by, steps: steps.map(stepText) })),
    explained: ways[0]?.steps.map(({ explain }) => explain()) ?? [],
    fields,
  };
}

/** `a/client client allowed 200 ok/routed at client-route, by none, to outbound|80||s mtls, answers HTTP` */
function stepText(step: Step): string {
  const { hop, side, allowed, code, reason, cause, layer, policy, rule, to, tls, answersHttp } = step;
  const by = `${policy ?? "none"}${rule === null ? "" : ` #${rule}`}`;
  const next = to === undefined ? "" : `, to ${to}`;
  const word = allowed ? "allowed" : "refused";
  return `${hop} ${side} ${word} ${code} ${reason}/${cause} at ${layer}, by ${by}${next}${tls === undefined ? "" : ` ${tls}`}${answersHttp ? ", answers HTTP" : ""}`;
}

export interface PodText {
  readonly ip?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ports?: readonly number[];
  /** The account's name; the pod's by default. */
  readonly account?: string;
}

/** A pod behind a sidecar. With `app` as label, by which services find it. */
export function podText(namespace: string, name: string, options: PodText = {}): string {
  const { ip, labels = {}, annotations = {}, ports = [8080], account = name } = options;
  const all = { app: name, "security.istio.io/tlsMode": "istio", ...labels };
  const containers = [{ name: "app", image: "app", ports: ports.map((port) => ({ containerPort: port })) }];
  const body = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: all, annotations },
    spec: { serviceAccountName: account, containers },
    ...(ip === undefined ? {} : { status: { podIP: ip } }),
  };
  return `---\n${JSON.stringify(body)}\n`;
}

/** A pod that no proxy stands before. */
export function barePodText(namespace: string, name: string, options: PodText = {}): string {
  const annotations = { "sidecar.istio.io/inject": "false" };
  const labels = { "security.istio.io/tlsMode": "disabled" };
  return podText(namespace, name, { ...options, labels, annotations });
}

/** A proxy without an application, for Gateways that select `istio: NAME`. */
export function gatewayPodText(namespace: string, name: string, ip?: string): string {
  const body = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: { app: name, istio: name, "security.istio.io/tlsMode": "istio" } },
    spec: { serviceAccountName: name, containers: [{ name: "istio-proxy", image: "auto" }] },
    ...(ip === undefined ? {} : { status: { podIP: ip } }),
  };
  return `---\n${JSON.stringify(body)}\n`;
}

/** A service of the pods of its name: port 80 is HTTP and leads to 8080, 81 gRPC, 9000 TCP, 443 TLS. */
export function serviceText(namespace: string, name: string, more: object = {}): string {
  const ports = [
    { name: "http", port: 80, targetPort: 8080 },
    { name: "grpc", port: 81, targetPort: 8081 },
    { name: "tcp", port: 9000 },
    { name: "tls", port: 443, targetPort: 8443 },
  ];
  return resourceText("v1", "Service", namespace, name, { selector: { app: name }, ports, ...more });
}

export function resourceText(
  apiVersion: string,
  kind: string,
  namespace: string,
  name: string,
  spec: object,
  labels: Readonly<Record<string, string>> = {},
): string {
  return `---\n${JSON.stringify({ apiVersion, kind, metadata: { name, namespace, labels }, spec })}\n`;
}

const SECURITY = "security.istio.io/v1";
const NETWORKING = "networking.istio.io/v1";

export function authorizationText(namespace: string, name: string, spec: object): string {
  return resourceText(SECURITY, "AuthorizationPolicy", namespace, name, spec);
}

export function peerText(namespace: string, name: string, spec: object): string {
  return resourceText(SECURITY, "PeerAuthentication", namespace, name, spec);
}

export function tokenText(namespace: string, name: string, spec: object): string {
  return resourceText(SECURITY, "RequestAuthentication", namespace, name, spec);
}

export function routeText(namespace: string, name: string, spec: object): string {
  return resourceText(NETWORKING, "VirtualService", namespace, name, spec);
}

export function destinationText(namespace: string, name: string, spec: object): string {
  return resourceText(NETWORKING, "DestinationRule", namespace, name, spec);
}

export function entryText(namespace: string, name: string, spec: object): string {
  return resourceText(NETWORKING, "ServiceEntry", namespace, name, spec);
}

export function gatewayText(namespace: string, name: string, spec: object): string {
  return resourceText(NETWORKING, "Gateway", namespace, name, spec);
}

/** ConfigMap `istio`: what is written there holds for the whole mesh. */
export function meshConfigText(config: object): string {
  const metadata = { name: "istio", namespace: "istio-system" };
  return `---\n${JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata, data: { mesh: JSON.stringify(config) } })}\n`;
}

export function namespaceText(name: string, labels: Readonly<Record<string, string>>): string {
  return `---\n${JSON.stringify({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels } })}\n`;
}

export interface JourneyCase {
  readonly law: string;
  readonly mesh: Mesh;
  readonly ask: AccessRequest;
  readonly options?: JourneyOptions;
  /** Each way: by which clusters and workloads, then its hops. */
  readonly ways: readonly (readonly [by: readonly string[], ...steps: readonly string[]])[];
  /** Left out: not what the case is about. */
  readonly fields?: object;
  readonly explained?: readonly (readonly string[])[];
}

/** Each case as a test of its own. */
export function testJourneys(cases: readonly JourneyCase[]): void {
  for (const { law, mesh, ask, options, ways, fields, explained } of cases)
    test(law, async () => {
      const told = await journey(mesh, ask, options);
      assert.deepEqual(
        told.ways.map(({ by, steps }) => [by, ...steps]),
        ways,
      );
      if (fields !== undefined) assert.deepEqual(told.fields, fields);
      if (explained !== undefined) assert.deepEqual(told.explained, explained);
    });
}
