/** From a case's plain data to a mesh, and to the bytes of a request. */
import { buildMesh, findWorkload } from "../../src/model/build-mesh.ts";
import type { Mesh, Workload } from "../../src/model/mesh.ts";
import { resourceFromJson } from "../../src/resources/wire.ts";
import { CertificateForge } from "../corpus/live-certificates.ts";
import {
  type BodySpec,
  type GatewaySpec,
  type MeshSpec,
  POD,
  type RequestSpec,
  type Selection,
} from "./differential-case.ts";
import { AUTHORIZER_HOST, AUTHORIZER_PORTS, PROVIDERS } from "./fixed-authorizer.ts";
import type { TokenSigner } from "./token-signer.ts";

const LABELS: Readonly<Record<Selection, object>> = {
  all: {},
  own: { selector: { matchLabels: { app: "httpbin" } } },
  others: { selector: { matchLabels: { app: "sleep" } } },
};

/** Of a gateway's server of SIMPLE TLS. */
const CREDENTIAL = CertificateForge.alone().pem(["edge.test"]);
const base64 = (text: string): string => Buffer.from(text).toString("base64");

export interface CaseMesh {
  readonly mesh: Mesh;
  readonly workload: Workload;
}

/**
 * Port 8080 is declared HTTP, 9000 TCP, 7000 is to be detected, 9999 is not declared.
 * Of a gateway: HTTP, TCP, HTTPS with ISTIO_MUTUAL, HTTPS with SIMPLE.
 */
export const CASE_PORTS: readonly number[] = [8080, 9000, 7000, 9999];

/** Of a gateway: where clients must show a certificate. */
export const EDGE_MUTUAL_PORT = 7000;
/** Of a gateway: where TLS asks for none. */
export const EDGE_SIMPLE_PORT = 9999;

/** @param behind where a gateway sends requests on to, on 127.0.0.1. */
export function meshOf(spec: MeshSpec, podAddress: string, signer: TokenSigner, behind = 1): CaseMesh {
  const bodies = manifests(spec, signer);
  const { gateway = null } = spec;
  const workload = gateway === null ? workloadOf(podAddress) : gatewayOf(podAddress, gateway, behind);
  const text = JSON.stringify([...workload, ...bodies]).replaceAll(POD, podAddress);
  const resources = (JSON.parse(text) as Record<string, unknown>[]).map((body, index) =>
    resourceFromJson(body, { file: "case.yaml", createdAt: index }),
  );
  const mesh = buildMesh(resources);
  const own = findWorkload(mesh, "foo/httpbin");
  if (own === undefined) throw new Error("BUG: the case has no workload");
  return { mesh, workload: own };
}

/** The policies as they would be written in YAML. */
export function manifests(spec: MeshSpec, signer: TokenSigner): object[] {
  const { trustDomain, trustDomainAliases, pathNormalization } = spec;
  const config = {
    trustDomain,
    trustDomainAliases,
    pathNormalization: { normalization: pathNormalization },
    extensionProviders: PROVIDERS,
    ...(spec.gateway == null
      ? {}
      : { defaultConfig: { gatewayTopology: { numTrustedProxies: spec.gateway.meshWide } } }),
  };
  return [
    AUTHORIZERS,
    object("v1", "ConfigMap", "istio-system", "istio", { data: { mesh: JSON.stringify(config) } }),
    ...spec.peers.map(({ namespace, selects, mode, ports }, index) =>
      security("PeerAuthentication", namespace, `peer-${index}`, {
        ...LABELS[selects],
        ...(mode === null ? {} : { mtls: { mode } }),
        ...(Object.keys(ports).length === 0
          ? {}
          : {
              portLevelMtls: Object.fromEntries(
                Object.entries(ports).map(([port, own]) => [port, { mode: own }]),
              ),
            }),
      }),
    ),
    ...spec.tokens.map(({ namespace, selects, rules }, index) =>
      security("RequestAuthentication", namespace, `tokens-${index}`, {
        ...LABELS[selects],
        jwtRules: rules.map((rule) => ({ ...rule, jwks: signer.keySet(rule.issuer) })),
      }),
    ),
    ...spec.policies.map(({ namespace, selects, dryRun, action, provider, rules }, index) =>
      security(
        "AuthorizationPolicy",
        namespace,
        `p${index}`,
        {
          ...LABELS[selects],
          action,
          ...(provider === undefined ? {} : { provider: { name: provider } }),
          ...(rules.length === 0 ? {} : { rules }),
        },
        dryRun ? { "istio.io/dry-run": "true" } : {},
      ),
    ),
  ];
}

/** Outside of the mesh: spoken to in clear text, straight at their address. */
const AUTHORIZERS: object = object("networking.istio.io/v1", "ServiceEntry", "foo", "authorizers", {
  spec: {
    hosts: [AUTHORIZER_HOST],
    ports: AUTHORIZER_PORTS.map(({ port, grpc }) => ({
      number: port,
      name: `${grpc ? "grpc" : "http"}-${port}`,
      protocol: grpc ? "GRPC" : "HTTP",
    })),
    resolution: "STATIC",
    endpoints: [{ address: "127.0.0.1" }],
  },
});

function workloadOf(podIP: string): object[] {
  const labels = { app: "httpbin" };
  const pod = {
    metadata: { name: "httpbin", namespace: "foo", labels },
    spec: {
      serviceAccountName: "httpbin",
      containers: [{ name: "app", ports: CASE_PORTS.map((containerPort) => ({ containerPort })) }],
    },
    status: { podIP },
  };
  return [
    object("v1", "Namespace", "", "foo", {}),
    { apiVersion: "v1", kind: "Pod", ...pod },
    object("v1", "Service", "foo", "httpbin", {
      spec: {
        clusterIP: "10.96.0.5",
        selector: labels,
        ports: [
          { name: "http", port: 80, targetPort: 8080 },
          { name: "tcp-raw", port: 9000 },
          { name: "auto", port: 7000 },
        ],
      },
    }),
  ];
}

function gatewayOf(podIP: string, { own }: GatewaySpec, behind: number): object[] {
  const labels = { app: "httpbin" };
  const topology = own === null ? {} : { gatewayTopology: { numTrustedProxies: own } };
  const pod = {
    metadata: {
      name: "httpbin",
      namespace: "foo",
      labels,
      annotations: {
        "inject.istio.io/templates": "gateway",
        "proxy.istio.io/config": JSON.stringify(topology),
      },
    },
    spec: { serviceAccountName: "httpbin", containers: [{ name: "istio-proxy", image: "auto" }] },
    status: { podIP },
  };
  const server = (number: number, protocol: string, tls?: object): object => ({
    port: { number, name: `port-${number}`, protocol },
    hosts: ["*"],
    ...(tls === undefined ? {} : { tls }),
  });
  const networking = "networking.istio.io/v1";
  const toApplication = [{ route: [{ destination: { host: "app.test", port: { number: 80 } } }] }];
  return [
    object("v1", "Namespace", "", "foo", {}),
    { apiVersion: "v1", kind: "Pod", ...pod },
    object("v1", "Service", "foo", "httpbin", {
      spec: {
        clusterIP: "10.96.0.5",
        selector: labels,
        ports: CASE_PORTS.map((port) => ({ name: `port-${port}`, port })),
      },
    }),
    object("v1", "Secret", "foo", "edge", {
      type: "kubernetes.io/tls",
      data: { "tls.crt": base64(CREDENTIAL.certificateChain), "tls.key": base64(CREDENTIAL.privateKey) },
    }),
    object(networking, "Gateway", "foo", "edge", {
      spec: {
        selector: labels,
        servers: [
          server(8080, "HTTP"),
          server(9000, "TCP"),
          server(EDGE_MUTUAL_PORT, "HTTPS", { mode: "ISTIO_MUTUAL" }),
          server(EDGE_SIMPLE_PORT, "HTTPS", { mode: "SIMPLE", credentialName: "edge" }),
        ],
      },
    }),
    object(networking, "ServiceEntry", "foo", "application", {
      spec: {
        hosts: ["app.test"],
        ports: [{ number: 80, name: "http", protocol: "HTTP", targetPort: behind }],
        resolution: "STATIC",
        endpoints: [{ address: "127.0.0.1" }],
      },
    }),
    object(networking, "VirtualService", "foo", "everything", {
      spec: {
        hosts: ["*"],
        gateways: ["edge"],
        http: toApplication,
        tcp: [{ match: [{ port: 9000 }], ...toApplication[0] }],
      },
    }),
  ];
}

function object(apiVersion: string, kind: string, namespace: string, name: string, rest: object): object {
  return { apiVersion, kind, metadata: { ...(namespace === "" ? {} : { namespace }), name }, ...rest };
}

function security(kind: string, namespace: string, name: string, spec: object, annotations = {}): object {
  return {
    apiVersion: "security.istio.io/v1",
    kind,
    metadata: { namespace, name, annotations },
    spec,
  };
}

/** A request as it is sent: the token in its place. */
export interface SentRequest {
  readonly method: string;
  readonly target: string;
  readonly host: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body?: BodySpec | null;
}

export function sentRequest(request: RequestSpec, signer: TokenSigner): SentRequest {
  return { ...withToken(request, signer), body: request.body ?? null };
}

function withToken(request: RequestSpec, signer: TokenSigner): SentRequest {
  const { method, target, host, headers, token } = request;
  if (token === null) return { method, target, host, headers };
  const text = signer.sign(token);
  const { place } = token;
  switch (place.kind) {
    case "header":
      return { method, target, host, headers: [...headers, [place.name, `${place.prefix}${text}`]] };
    case "cookie":
      return { method, target, host, headers: [...headers, ["cookie", `a=b; ${place.name}=${text}`]] };
    case "param":
      return { method, target: withParameter(target, place.name, text), host, headers };
  }
}

function withParameter(target: string, name: string, text: string): string {
  if (!target.startsWith("/")) return target;
  const hash = target.indexOf("#");
  const [before, fragment] = hash < 0 ? [target, ""] : [target.slice(0, hash), target.slice(hash)];
  return `${before}${before.includes("?") ? "&" : "?"}${name}=${text}${fragment}`;
}
