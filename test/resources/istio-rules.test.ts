import assert from "node:assert/strict";
import { test } from "node:test";
import { loadText, problemsOf } from "./load-fixture.ts";

const VERSIONS: Readonly<Record<string, string>> = {
  AuthorizationPolicy: "security.istio.io/v1",
  PeerAuthentication: "security.istio.io/v1",
  RequestAuthentication: "security.istio.io/v1",
  VirtualService: "networking.istio.io/v1",
  DestinationRule: "networking.istio.io/v1",
  Gateway: "networking.istio.io/v1",
  ServiceEntry: "networking.istio.io/v1",
  Sidecar: "networking.istio.io/v1",
  WorkloadEntry: "networking.istio.io/v1",
};

const OK = "";
const source = (fields: string): string => `{rules: [{from: [{source: {${fields}}}]}]}`;
const operation = (fields: string): string => `{rules: [{to: [{operation: {${fields}}}]}]}`;
const when = (fields: string): string => `{rules: [{when: [{${fields}}]}]}`;
const custom = (rule: string): string => `{action: CUSTOM, provider: {name: p}, rules: [${rule}]}`;
const route = (fields: string): string =>
  `{hosts: [a], http: [{${fields}, route: [{destination: {host: a}}]}]}`;
const match = (fields: string): string => route(`match: [{${fields}}]`);
const policy = (fields: string): string => `{host: a, trafficPolicy: {${fields}}}`;
const server = (fields: string): string =>
  `{servers: [{port: {number: 443, name: a, protocol: HTTPS}, hosts: ["*"], ${fields}}]}`;
const entry = (fields: string): string =>
  `{hosts: [a.example.com], ports: [{number: 80, name: http, protocol: HTTP}], ${fields}}`;
const egress = (fields: string): string => `{egress: [{${fields}}]}`;

/** kind, spec, and the code of the one problem, or nothing where it is valid. Each rule with its neighbour that is right. */
const RULES: readonly (readonly [string, string, string])[] = [
  ["AuthorizationPolicy", source("ipBlocks: [10.0.0.0/32]"), OK],
  ["AuthorizationPolicy", source("ipBlocks: [10.0.0.0/33]"), "BW1203_BAD_CIDR"],
  ["AuthorizationPolicy", source("ipBlocks: [10.0.0.1/08]"), "BW1203_BAD_CIDR"],
  ["AuthorizationPolicy", source("ipBlocks: [010.0.0.1]"), "BW1203_BAD_CIDR"],
  ["AuthorizationPolicy", source("ipBlocks: [10.0.0]"), "BW1203_BAD_CIDR"],
  ["AuthorizationPolicy", source('notRemoteIpBlocks: ["2001:db8::/128"]'), OK],
  ["AuthorizationPolicy", source('notRemoteIpBlocks: ["2001:db8::/129"]'), "BW1203_BAD_CIDR"],
  ["AuthorizationPolicy", source("serviceAccounts: [ns/sa], ipBlocks: [10.0.0.1]"), OK],
  ["AuthorizationPolicy", source("serviceAccounts: [ns/sa], namespaces: [ns]"), "BW1211_SERVICE_ACCOUNT"],
  ["AuthorizationPolicy", source("notServiceAccounts: [sa], notPrincipals: [a]"), "BW1211_SERVICE_ACCOUNT"],
  ["AuthorizationPolicy", source("serviceAccounts: [a/b/c]"), "BW1211_SERVICE_ACCOUNT"],
  ["AuthorizationPolicy", source("serviceAccounts: [/b]"), "BW1211_SERVICE_ACCOUNT"],
  ["AuthorizationPolicy", source('principals: [""]'), "BW1210_EMPTY_VALUE"],
  ["AuthorizationPolicy", source('notNamespaces: [""]'), "BW1210_EMPTY_VALUE"],
  ["AuthorizationPolicy", source('trustDomains: ["*a"]'), OK],
  ["AuthorizationPolicy", source('trustDomains: ["a*b"]'), "BW1212_BAD_WILDCARD"],
  ["AuthorizationPolicy", source("notTrustDomains: [a/b]"), "BW1212_BAD_WILDCARD"],
  ["AuthorizationPolicy", "{rules: [{from: [{}]}]}", "BW1209_EMPTY_CLAUSE"],
  ["AuthorizationPolicy", "{rules: [{to: [{}]}]}", "BW1209_EMPTY_CLAUSE"],
  ["AuthorizationPolicy", "{rules: [{from: []}]}", OK],
  ["AuthorizationPolicy", operation("methods: []"), "BW1209_EMPTY_CLAUSE"],
  ["AuthorizationPolicy", operation('ports: ["65535"]'), OK],
  ["AuthorizationPolicy", operation('ports: ["65536"]'), "BW1204_BAD_PORT"],
  ["AuthorizationPolicy", operation('notPorts: ["-1"]'), "BW1204_BAD_PORT"],
  ["AuthorizationPolicy", operation('paths: ["/a/{*}/b"]'), OK],
  ["AuthorizationPolicy", operation('paths: ["/a/{**}/b"]'), OK],
  ["AuthorizationPolicy", operation('paths: ["/{**}/{*}"]'), "BW1213_PATH_TEMPLATE"],
  ["AuthorizationPolicy", operation('paths: ["/a{*}"]'), "BW1213_PATH_TEMPLATE"],
  ["AuthorizationPolicy", operation('paths: ["/{*}/*"]'), "BW1213_PATH_TEMPLATE"],
  ["AuthorizationPolicy", operation('paths: ["/a/*"]'), OK],
  ["AuthorizationPolicy", when('key: "request.headers[a]", values: [b]'), OK],
  ["AuthorizationPolicy", when('key: "request.headers[]", values: [b]'), "BW1214_CONDITION"],
  ["AuthorizationPolicy", when("key: request.auth.claims, values: [b]"), "BW1214_CONDITION"],
  ["AuthorizationPolicy", when("key: source.ip, values: [b]"), "BW1203_BAD_CIDR"],
  ["AuthorizationPolicy", when('key: destination.port, values: [""]'), "BW1210_EMPTY_VALUE"],
  ["AuthorizationPolicy", when("key: destination.name, values: [b]"), "BW1214_CONDITION"],
  ["AuthorizationPolicy", when("key: source.namespace"), "BW1214_CONDITION"],
  ["AuthorizationPolicy", "{action: DENY, rules: []}", "BW1206_NO_RULES"],
  ["AuthorizationPolicy", "{action: DENY, rules: [{}]}", OK],
  ["AuthorizationPolicy", "{action: ALLOW}", OK],
  ["AuthorizationPolicy", "{action: CUSTOM, provider: {name: p}}", "BW1206_NO_RULES"],
  ["AuthorizationPolicy", "{action: CUSTOM, rules: [{}]}", "BW1207_PROVIDER"],
  ["AuthorizationPolicy", custom("{to: [{operation: {hosts: [a]}}]}"), OK],
  ["AuthorizationPolicy", custom("{from: [{source: {ipBlocks: [10.0.0.1]}}]}"), OK],
  ["AuthorizationPolicy", custom("{from: [{source: {notNamespaces: [a]}}]}"), "BW1208_NOT_WITH_CUSTOM"],
  [
    "AuthorizationPolicy",
    custom("{when: [{key: request.auth.principal, values: [a]}]}"),
    "BW1208_NOT_WITH_CUSTOM",
  ],
  ["PeerAuthentication", "{selector: {matchLabels: {a: b}}, portLevelMtls: {80: {mode: STRICT}}}", OK],
  [
    "PeerAuthentication",
    "{selector: {matchLabels: {}}, portLevelMtls: {80: {}}}",
    "BW1216_PORT_MTLS BW1301_EMPTY_SELECTOR",
  ],
  ["PeerAuthentication", "{selector: {matchLabels: {a: b}}, portLevelMtls: {65536: {}}}", "BW1204_BAD_PORT"],
  ["PeerAuthentication", '{selector: {matchLabels: {a: "b*"}}}', "BW1202_BAD_SELECTOR"],
  ["RequestAuthentication", "{jwtRules: [{issuer: a}]}", OK],
  ["RequestAuthentication", "{jwtRules: [{jwksUri: HTTPS://a.example/k}]}", OK],
  ["RequestAuthentication", "{jwtRules: [{audiences: [a]}]}", "BW1217_JWT_RULE"],
  ["RequestAuthentication", "{jwtRules: [{issuer: a, jwksUri: ftp://a/k}]}", "BW1217_JWT_RULE"],
  [
    "RequestAuthentication",
    "{jwtRules: [{issuer: a, jwksUri: https://a/k, jwks: '{\"keys\": []}'}]}",
    "BW1217_JWT_RULE",
  ],
  [
    "RequestAuthentication",
    '{jwtRules: [{issuer: a, jwks: \'{"keys": [{"kty": "RSA"}]}\'}]}',
    "BW1217_JWT_RULE",
  ],
  [
    "RequestAuthentication",
    '{jwtRules: [{issuer: a, jwks: \'{"kty": "RSA", "n": "AA", "e": "AQAB"}\'}]}',
    OK,
  ],
  ["RequestAuthentication", "{jwtRules: [{issuer: a, timeout: 0.5ms}]}", "BW1218_BAD_DURATION"],
  ["VirtualService", "{hosts: ['*'], http: [{route: [{destination: {host: a}}]}]}", "BW1219_BAD_HOST"],
  ["VirtualService", "{hosts: ['*'], gateways: [g], http: [{route: [{destination: {host: a}}]}]}", OK],
  [
    "VirtualService",
    "{hosts: [a.example.com, '*.example.com'], http: [{route: [{destination: {host: a}}]}]}",
    "BW1220_DUPLICATE",
  ],
  [
    "VirtualService",
    "{hosts: ['*.example.com', '*.example.org'], http: [{route: [{destination: {host: a}}]}]}",
    OK,
  ],
  ["VirtualService", "{hosts: [a]}", "BW1222_ROUTE"],
  ["VirtualService", route("redirect: {uri: /b}"), "BW1222_ROUTE"],
  ["VirtualService", route("timeout: 1ms"), OK],
  ["VirtualService", route("timeout: 1500us"), "BW1218_BAD_DURATION"],
  ["VirtualService", match("uri: {regex: '/(a|b)+'}"), OK],
  ["VirtualService", match("uri: {regex: '('}"), "BW1224_STRING_MATCH"],
  ["VirtualService", match("uri: {prefix: ''}"), OK],
  ["VirtualService", match("method: {prefix: ''}"), "BW1224_STRING_MATCH"],
  ["VirtualService", match("headers: {'x y': {exact: a}}"), "BW1223_HEADER"],
  ["VirtualService", match("headers: {'@request.auth.claims.a': {exact: a}}"), "BW1222_ROUTE"],
  ["VirtualService", match("port: 70000"), "BW1204_BAD_PORT"],
  ["VirtualService", route("headers: {request: {set: {host: a}}}"), OK],
  ["VirtualService", route("rewrite: {authority: b}, headers: {request: {set: {host: a}}}"), "BW1223_HEADER"],
  ["VirtualService", route("headers: {response: {set: {host: a}}}"), "BW1223_HEADER"],
  ["VirtualService", route("headers: {request: {set: {':path': a}}}"), "BW1223_HEADER"],
  ["VirtualService", route("headers: {request: {set: {x: '%A(B)%'}}}"), OK],
  ["VirtualService", route("headers: {request: {set: {x: '%A(B%'}}}"), "BW1223_HEADER"],
  ["VirtualService", route("retries: {attempts: 0}"), OK],
  ["VirtualService", route("retries: {attempts: 0, retryOn: 5xx}"), "BW1226_RETRIES"],
  ["VirtualService", route("retries: {attempts: 1, retryOn: toString}"), "BW1226_RETRIES"],
  ["VirtualService", route("fault: {abort: {grpcStatus: NOT_FOUND}}"), OK],
  ["VirtualService", route("fault: {abort: {grpcStatus: NOTFOUND}}"), "BW1227_FAULT"],
  ["VirtualService", route("fault: {delay: {fixedDelay: 1s, percentage: {value: 100.1}}}"), "BW1227_FAULT"],
  [
    "VirtualService",
    route("rewrite: {uri: /a, uriRegexRewrite: {match: a, rewrite: b}}"),
    "BW1228_REDIRECT_OR_REWRITE",
  ],
  ["VirtualService", route("corsPolicy: {maxAge: 1500ms}"), "BW1229_CORS"],
  [
    "VirtualService",
    "{hosts: [a], http: [{route: [{destination: {host: a}, weight: 0}, {destination: {host: b}}]}]}",
    "BW1225_DESTINATION",
  ],
  ["VirtualService", "{hosts: [a], http: [{route: [{destination: {host: '*'}}]}]}", "BW1219_BAD_HOST"],
  ["VirtualService", "{http: [{delegate: {name: a}, route: [{destination: {host: a}}]}]}", "BW1232_DELEGATE"],
  [
    "VirtualService",
    "{hosts: ['*.a.example'], tls: [{match: [{sniHosts: ['*.b.a.example']}], route: [{destination: {host: a}}]}]}",
    OK,
  ],
  [
    "VirtualService",
    "{hosts: [b.a.example], tls: [{match: [{sniHosts: ['*.a.example']}], route: [{destination: {host: a}}]}]}",
    "BW1234_SNI_HOST",
  ],
  ["VirtualService", "{hosts: [a], tcp: [{match: [{port: 1}]}]}", "BW1235_L4_ROUTE"],
  ["DestinationRule", policy("tls: {mode: SIMPLE}"), OK],
  [
    "DestinationRule",
    policy("tls: {mode: SIMPLE, credentialName: a, caCertificates: b}"),
    "BW1237_CLIENT_TLS",
  ],
  [
    "DestinationRule",
    policy("tls: {mode: SIMPLE, insecureSkipVerify: true, subjectAltNames: [a]}"),
    "BW1237_CLIENT_TLS",
  ],
  ["DestinationRule", policy("portLevelSettings: []"), "BW1236_TRAFFIC_POLICY"],
  ["DestinationRule", policy("portLevelSettings: [{port: {number: 80}}]"), "BW1236_TRAFFIC_POLICY"],
  ["DestinationRule", policy("connectionPool: {}"), "BW1236_TRAFFIC_POLICY"],
  ["DestinationRule", policy("outlierDetection: {maxEjectionPercent: 101}"), "BW1236_TRAFFIC_POLICY"],
  [
    "DestinationRule",
    policy("outlierDetection: {consecutiveLocalOriginFailures: 1}"),
    "BW1236_TRAFFIC_POLICY",
  ],
  [
    "DestinationRule",
    policy("loadBalancer: {consistentHash: {maglev: {tableSize: 11}, useSourceIp: true}}"),
    OK,
  ],
  [
    "DestinationRule",
    policy("loadBalancer: {localityLbSetting: {distribute: [{from: 'a/*', to: {'b/*': 100}}]}}"),
    OK,
  ],
  [
    "DestinationRule",
    policy("loadBalancer: {localityLbSetting: {distribute: [{from: 'a/*', to: {'b/*': 99}}]}}"),
    "BW1238_LOAD_BALANCER",
  ],
  [
    "DestinationRule",
    policy("loadBalancer: {localityLbSetting: {distribute: [{from: 'a', to: {'b/*': 50, b/c: 50}}]}}"),
    "BW1238_LOAD_BALANCER",
  ],
  ["DestinationRule", "{host: a, exportTo: [., '*']}", "BW1221_EXPORT_TO"],
  ["DestinationRule", "{host: a, exportTo: [default, .]}", "BW1221_EXPORT_TO"],
  ["DestinationRule", "{host: a, exportTo: ['~']}", "BW1221_EXPORT_TO"],
  ["DestinationRule", "{host: a, workloadSelector: {matchLabels: {a: b}}, exportTo: [.]}", OK],
  [
    "DestinationRule",
    "{host: a, workloadSelector: {matchLabels: {a: b}}, exportTo: [other]}",
    "BW1221_EXPORT_TO",
  ],
  ["Gateway", server("tls: {mode: SIMPLE, credentialName: a}"), OK],
  ["Gateway", server("tls: {mode: SIMPLE}"), "BW1240_SERVER_TLS"],
  ["Gateway", server("tls: {mode: MUTUAL, serverCertificate: a, privateKey: b}"), "BW1240_SERVER_TLS"],
  ["Gateway", server("tls: {mode: ISTIO_MUTUAL, credentialName: a}"), "BW1240_SERVER_TLS"],
  [
    "Gateway",
    server("tls: {mode: SIMPLE, credentialName: a, serverCertificate: b, privateKey: c}"),
    "BW1240_SERVER_TLS",
  ],
  [
    "Gateway",
    "{servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: [a], tls: {httpsRedirect: true}}]}",
    "BW1219_BAD_HOST",
  ],
  [
    "Gateway",
    "{servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: [a.b], tls: {mode: SIMPLE, credentialName: c}}]}",
    "BW1240_SERVER_TLS",
  ],
  [
    "Gateway",
    "{servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: ['*b.c']}]}",
    "BW1219_BAD_HOST",
  ],
  [
    "Gateway",
    "{servers: [{port: {number: 80, name: a, protocol: HTTP, targetPort: 80}, hosts: ['*']}]}",
    "BW1239_SERVER",
  ],
  ["ServiceEntry", entry("resolution: DNS"), OK],
  ["ServiceEntry", entry("resolution: NONE, endpoints: [{address: 10.0.0.1}]"), "BW1246_SERVICE_ENTRY"],
  ["ServiceEntry", entry("resolution: STATIC, endpoints: [{address: a.example.com}]"), "BW1244_ENDPOINT"],
  [
    "ServiceEntry",
    entry("resolution: STATIC, endpoints: [{address: 10.0.0.1, ports: {https: 1}}]"),
    "BW1244_ENDPOINT",
  ],
  [
    "ServiceEntry",
    entry("resolution: STATIC, endpoints: [{address: 10.0.0.1, serviceAccount: a/b}]"),
    "BW1109_BAD_NAME",
  ],
  ["ServiceEntry", entry("resolution: DNS, addresses: [10.0.0.0/8]"), "BW1246_SERVICE_ENTRY"],
  [
    "ServiceEntry",
    entry("resolution: DNS_ROUND_ROBIN, endpoints: [{address: a.b}, {address: b.c}]"),
    "BW1246_SERVICE_ENTRY",
  ],
  ["ServiceEntry", entry("resolution: DYNAMIC_DNS"), "BW1219_BAD_HOST"],
  [
    "ServiceEntry",
    "{hosts: ['*.a.example'], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}",
    "BW1219_BAD_HOST",
  ],
  [
    "ServiceEntry",
    "{hosts: [a.b, c.d], resolution: DNS, ports: [{number: 80, name: tcp, protocol: TCP}]}",
    "BW1246_SERVICE_ENTRY",
  ],
  ["ServiceEntry", "{hosts: ['*'], ports: [{number: 80, name: http, protocol: HTTP}]}", "BW1219_BAD_HOST"],
  [
    "ServiceEntry",
    "{hosts: [a.b], ports: [{number: 80, name: a}, {number: 80, name: b}]}",
    "BW1220_DUPLICATE",
  ],
  ["Sidecar", egress('hosts: ["./*", "other/a.example.com", "*/b.example.com"]'), OK],
  ["Sidecar", egress('hosts: ["./*", "default/a.example.com"]'), "BW1315_REPEATED_HOST"],
  ["Sidecar", egress('hosts: ["other/a.example.com", "other/b.example.com"]'), OK],
  ["Sidecar", egress('hosts: ["other/a.example.com", "other/*"]'), "BW1315_REPEATED_HOST"],
  ["Sidecar", egress('hosts: ["other/a.example.com", "other/a.example.com"]'), "BW1315_REPEATED_HOST"],
  ["Sidecar", egress('hosts: ["~/*", "~/*"]'), OK],
  ["Sidecar", egress("hosts: ['./*', 'ns/a.example.com', '*/*', '~/*']"), OK],
  ["Sidecar", egress("hosts: ['a.example.com']"), "BW1219_BAD_HOST"],
  ["Sidecar", egress("hosts: ['ns/short']"), "BW1219_BAD_HOST"],
  ["Sidecar", egress("port: {number: 0, protocol: TCP}, hosts: ['./*']"), "BW1241_BIND"],
  ["Sidecar", "{egress: [{hosts: ['./*']}, {hosts: ['./*']}]}", "BW1243_SIDECAR"],
  ["Sidecar", "{outboundTrafficPolicy: {mode: REGISTRY_ONLY, egressProxy: {host: a.b}}}", "BW1243_SIDECAR"],
  [
    "Sidecar",
    "{ingress: [{port: {number: 80, protocol: HTTP, name: a}, defaultEndpoint: '10.0.0.1:80'}]}",
    "BW1243_SIDECAR",
  ],
  ["WorkloadEntry", "{address: 10.0.0.1}", OK],
  ["WorkloadEntry", "{address: a_b}", "BW1244_ENDPOINT"],
  ["WorkloadEntry", "{address: 'unix:///a'}", OK],
  ["WorkloadEntry", "{address: 'unix://a'}", "BW1241_BIND"],
  ["WorkloadEntry", "{address: 10.0.0.1, serviceAccount: 'ns/foo/sa/x'}", "BW1109_BAD_NAME"],
];

for (const [kind, spec, expected] of RULES) {
  test(`${kind} ${spec} is ${expected === OK ? "valid" : expected}`, async () => {
    const loaded = await loadText(
      `apiVersion: ${VERSIONS[kind]}\nkind: ${kind}\nmetadata: {name: a}\nspec: ${spec}\n`,
    );
    const codes = new Set(problemsOf(loaded).map(({ code }) => code));
    assert.deepEqual([...codes].sort().join(" "), expected);
  });
}

test("all problems of a resource are found, not the first alone", async () => {
  const { rejected } = await loadText(`
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: a, namespace: b}
spec:
  action: DENIED
  rulez: []
  rules:
  - from: [{source: {ipBlocks: [x], namespace: [y]}}]
    to: [{operation: {ports: [80]}}]
`);
  assert.deepEqual(
    rejected[0]?.errors.map(({ code, span }) => `${code} ${span?.line}:${span?.column}`).sort(),
    [
      "BW1101_UNKNOWN_FIELD 7:3",
      "BW1101_UNKNOWN_FIELD 9:37",
      "BW1102_WRONG_TYPE 10:31",
      "BW1103_NOT_ONE_OF 6:11",
      "BW1203_BAD_CIDR 9:33",
    ].toSorted(),
  );
});
