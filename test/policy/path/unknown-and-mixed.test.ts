import assert from "node:assert/strict";
import { test } from "node:test";
import { type AccessRequest, can, type Decision, type Mesh } from "../../../src/index.ts";
import { meshFrom, workloadText } from "./mesh-text.ts";

async function one(mesh: Mesh, request: AccessRequest): Promise<Decision> {
  const [decision] = await can(mesh, [request]);
  assert.ok(decision !== undefined);
  return decision;
}

const WORKLOADS = `${workloadText({ name: "client", ip: "10.0.0.1" })}${workloadText({ name: "server", ip: "10.0.0.2" })}`;
const policy = (spec: string, name = "p"): string => `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ${name}, namespace: default}
spec: ${spec}
`;
const toServer = { from: { workload: "default/client" }, to: { service: "server", port: 80 } } as const;

test("an address that nobody knows leaves open what hangs on it, allowed or denied, and nothing else", async () => {
  const clients = `${workloadText({ name: "client" })}${workloadText({ name: "server" })}`;
  const blocks =
    '{selector: {matchLabels: {app: server}}, action: ALLOW, rules: [{from: [{source: {ipBlocks: ["10.0.0.0/8"]}}]}]}';
  const { mesh } = await meshFrom(clients, policy(blocks));
  const open = await one(mesh, toServer);
  assert.deepEqual([open.allowed, open.reason, open.cause], [false, "unknown", "address-unknown"]);
  assert.match(open.explanation.join("\n"), /give from\.ip/);
  const told = await one(mesh, { ...toServer, from: { workload: "default/client", ip: "10.9.9.9" } });
  assert.deepEqual([told.allowed, told.reason], [true, "ok"]);
  const outside = await one(mesh, { ...toServer, from: { workload: "default/client", ip: "192.168.0.1" } });
  assert.deepEqual([outside.allowed, outside.reason], [false, "rbac"]);
});

test("a negative address list is not taken as matched by an unknown address; a rule that matches anyway decides", async () => {
  const clients = `${workloadText({ name: "client" })}${workloadText({ name: "server" })}`;
  const not =
    '{selector: {matchLabels: {app: server}}, action: ALLOW, rules: [{from: [{source: {notIpBlocks: ["10.0.0.0/8"]}}]}]}';
  const { mesh } = await meshFrom(clients, policy(not));
  assert.equal((await one(mesh, toServer)).reason, "unknown");
  const any =
    "{selector: {matchLabels: {app: server}}, action: ALLOW, rules: [{to: [{operation: {methods: [GET]}}]}]}";
  const { mesh: open } = await meshFrom(clients, policy(not), policy(any, "q"));
  assert.equal((await one(open, toServer)).reason, "ok");
});

test("an external authorizer that was not asked is unknown; its answer decides", async () => {
  const config = `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    extensionProviders:
    - name: authz
      envoyExtAuthzHttp: {service: client.default.svc.cluster.local, port: 80}
`;
  const custom =
    "{selector: {matchLabels: {app: server}}, action: CUSTOM, provider: {name: authz}, rules: [{}]}";
  const { mesh } = await meshFrom(config, WORKLOADS, policy(custom));
  const unasked = await one(mesh, toServer);
  assert.deepEqual(
    [unasked.allowed, unasked.reason, unasked.cause],
    [false, "unknown", "ext-authz-unanswered"],
  );
  const told = unasked.explanation.join("\n");
  assert.match(told, /AuthorizationPolicy default\/p rule 0\n.*\n.*give --ext-authz allow or deny/);
  assert.match(told, /were it to allow, the request would be allowed \(no-allow-policies\)/);
  const { mesh: narrow } = await meshFrom(config, WORKLOADS, policy(custom), policy("{}", "nobody"));
  assert.match(
    (await one(narrow, toServer)).explanation.join("\n"),
    /were it to allow, the request would be denied \(no-allow-matched\)/,
  );
  assert.equal((await one(mesh, { ...toServer, extAuthz: "allow" })).allowed, true);
  assert.deepEqual((await one(mesh, { ...toServer, extAuthz: "deny" })).reason, "rbac");
});

const JWT = `
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: default}
spec:
  selector: {matchLabels: {app: server}}
  jwtRules: [{issuer: "https://issuer.example", audiences: [api], jwksUri: "https://issuer.example/keys"}]
`;
const BY_CLAIM = policy(
  '{selector: {matchLabels: {app: server}}, action: ALLOW, rules: [{when: [{key: "request.auth.claims[groups]", values: [dev]}]}]}',
);

test("claims are taken as verified, but not those of another issuer or for another audience", async () => {
  const { mesh } = await meshFrom(WORKLOADS, JWT, BY_CLAIM);
  const ask = (claims: Readonly<Record<string, unknown>>): Promise<Decision> =>
    one(mesh, { ...toServer, jwt: { claims } });
  const whole = { iss: "https://issuer.example", sub: "a", groups: ["dev"] };
  assert.equal((await ask({ ...whole, aud: "api" })).reason, "ok");
  const unaddressed = await ask(whole);
  assert.deepEqual([unaddressed.code, unaddressed.cause], [403, "jwt-wrong-audience"]);
  assert.equal((await ask({ groups: "dev" })).reason, "ok");
  assert.equal((await ask({ groups: ["ops"] })).reason, "rbac");
  const foreign = await ask({ iss: "https://other.example", groups: ["dev"] });
  assert.deepEqual([foreign.code, foreign.cause], [401, "jwt-unknown-issuer"]);
  const other = await ask({ iss: "https://issuer.example", aud: "web", groups: ["dev"] });
  assert.deepEqual([other.code, other.cause], [403, "jwt-wrong-audience"]);
});

test("a token whose keys are not fetched is unknown; one of another issuer is refused without them", async () => {
  const { mesh } = await meshFrom(WORKLOADS, JWT);
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const token = (iss: string): string =>
    `${part({ alg: "RS256", kid: "k" })}.${part({ iss, sub: "a", aud: "api" })}.AAAA`;
  const asked = await one(mesh, { ...toServer, jwt: token("https://issuer.example") });
  assert.deepEqual([asked.allowed, asked.reason, asked.cause], [false, "unknown", "jwks-not-fetched"]);
  const foreign = await one(mesh, { ...toServer, jwt: token("https://other.example") });
  assert.deepEqual([foreign.reason, foreign.cause], ["jwt", "jwt-unknown-issuer"]);
});

const SPLIT = `
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: split, namespace: default}
spec:
  hosts: [server]
  http:
  - route:
    - {destination: {host: server}, weight: 90}
    - {destination: {host: canary}, weight: 10}
`;

test("a weighted route whose destinations decide differently is mixed: the first one's decision, and the others listed", async () => {
  const deny = "{selector: {matchLabels: {app: canary}}, action: DENY, rules: [{}]}";
  const { mesh } = await meshFrom(
    WORKLOADS,
    workloadText({ name: "canary", ip: "10.0.0.3" }),
    SPLIT,
    policy(deny),
  );
  const decision = await one(mesh, toServer);
  assert.deepEqual([decision.allowed, decision.hop], [true, "default/server"]);
  assert.deepEqual(
    decision.others?.map(({ allowed, hop, policy: by }) => [allowed, hop, by]),
    [[false, "default/canary", "AuthorizationPolicy default/p"]],
  );
  assert.match(decision.explanation.join("\n"), /mixed: .*elsewhere it is not the same/);
  assert.deepEqual(
    decision.clusters?.map(({ weight }) => weight),
    [90, 10],
  );
});

test("a server whose account the client does not expect is refused by the client's proxy", async () => {
  const rule = `
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: server, namespace: default}
spec: {host: server, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, subjectAltNames: ["spiffe://cluster.local/ns/default/sa/other"]}}}
`;
  const { mesh } = await meshFrom(WORKLOADS, rule);
  const decision = await one(mesh, toServer);
  assert.deepEqual(
    [decision.allowed, decision.code, decision.reason, decision.cause, decision.hop],
    [false, 503, "tls", "server-identity-refused", "default/client"],
  );
});

test("a refusal without an HTTP answer is a 503 from the client's own proxy", async () => {
  const rule = `
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: server, namespace: default}
spec: {host: server, trafficPolicy: {tls: {mode: DISABLE}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: default}
spec: {mtls: {mode: STRICT}}
`;
  const { mesh } = await meshFrom(WORKLOADS, rule);
  const decision = await one(mesh, toServer);
  assert.deepEqual([decision.reason, decision.code, decision.hop], ["no-chain", 503, "default/server"]);
});

test("the server judges the path that a route rewrote", async () => {
  const rewrite = `
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: rewrite, namespace: default}
spec:
  hosts: [server]
  http: [{match: [{uri: {prefix: /public}}], rewrite: {uri: /private}, route: [{destination: {host: server}}]}]
`;
  const deny =
    '{selector: {matchLabels: {app: server}}, action: DENY, rules: [{to: [{operation: {paths: ["/private*"]}}]}]}';
  const { mesh } = await meshFrom(WORKLOADS, rewrite, policy(deny));
  const decision = await one(mesh, { ...toServer, path: "/public/x" });
  assert.deepEqual(
    [decision.allowed, decision.cause, decision.upstreamPath],
    [false, "deny-matched", "/private/x"],
  );
});

test("a request that names what the mesh does not have, or a field that there is not, is refused with a suggestion", async () => {
  const { mesh } = await meshFrom(WORKLOADS);
  const bad = { from: { workload: "default/clint" }, to: { service: "server", port: 80 } };
  await assert.rejects(can(mesh, [bad]), /no workload `default\/clint` \(did you mean `default\/client`\?\)/);
  await assert.rejects(
    can(mesh, [{ ...toServer, pth: "/" } as AccessRequest]),
    /no field `pth` \(did you mean `path`\?\)/,
  );
});
