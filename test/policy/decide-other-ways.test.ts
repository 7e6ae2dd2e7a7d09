/** What makes outcomes differ, and what is told of ways through several proxies. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decide } from "../../src/policy/decide.ts";
import type { AccessRequest } from "../../src/policy/path/access-request.ts";
import type { Decision } from "../../src/policy/path/decision.ts";
import { meshOf } from "./outbound/mesh-of.ts";
import {
  authorizationText,
  destinationText,
  entryText,
  gatewayPodText,
  gatewayText,
  meshConfigText,
  namespaceText,
  podText,
  resourceText,
  routeText,
  serviceText,
  tokenText,
} from "./path/journey-text.ts";

const CLIENT = podText("a", "c", { ip: "10.0.0.1" });
const replica = (index: number) =>
  podText("a", `s${index}`, { ip: `10.0.1.${index}`, account: "s", labels: { app: "s", v: `v${index}` } });
const TWO = CLIENT + serviceText("a", "s") + replica(1) + replica(2);
const selected = (index: number) => ({ selector: { matchLabels: { v: `v${index}` } } });
const denied = (index: number): string =>
  authorizationText("a", `d${index}`, { ...selected(index), action: "DENY", rules: [{}] });
const toServer: AccessRequest = { from: { workload: "a/c" }, to: { service: "s", port: 80 } };

const ask = (text: string, request = toServer): Promise<Decision> => decide(meshOf(text), request);

const outcomes = async (text: string, request = toServer): Promise<readonly unknown[]> => {
  const { allowed, code, reason, others = [] } = await decide(meshOf(text), request);
  return [{ allowed, code, reason }, ...others].map((one) => [one.allowed, one.code, one.reason]);
};

describe("decide(): outcomes that differ by destination", () => {
  const mixed = (count: number, refused: readonly number[]) =>
    CLIENT +
    serviceText("a", "s") +
    Array.from({ length: count }, (_, index) => replica(index + 1)).join("") +
    refused.map(denied).join("");
  const way = (index: number) => `outbound|80||s.a.svc.cluster.local at a/s${index}:8080`;
  const FIRST = `mixed: this is what comes of ${way(1)}; elsewhere it is not the same`;
  const line = (index: number) => `by ${way(index)}: denied (403 rbac) by a/s${index}`;

  test("others are whole, with the way that leads to them; those like the first are none", async () => {
    const decision = await ask(mixed(3, [3]), toServer);
    assert.equal(decision.allowed, true);
    assert.deepEqual(decision.others, [
      {
        hop: "a/s3",
        side: "server",
        allowed: false,
        code: 403,
        reason: "rbac",
        cause: "deny-matched",
        layer: "authorization",
        policy: "AuthorizationPolicy a/d3",
        rule: 0,
        way: [way(3)],
      },
    ]);
    assert.deepEqual(decision.explanation.slice(-2), [FIRST, line(3)]);
    assert.equal("others" in (await ask(mixed(3, []), toServer)), false);
    assert.equal("others" in (await ask(mixed(3, [1, 2, 3]), toServer)), false);
  });

  test("the first's refusal stands although others allow", async () => {
    const decision = await ask(mixed(2, [1]), toServer);
    assert.deepEqual([decision.allowed, decision.policy], [false, "AuthorizationPolicy a/d1"]);
    assert.equal(decision.explanation.at(-1), `by ${way(2)}: allowed (200 ok) by a/s2`);
  });

  test("a person is told of five of them, and how many more there are", async () => {
    const five = await ask(mixed(6, [2, 3, 4, 5, 6]), toServer);
    assert.equal(five.others?.length, 5);
    assert.deepEqual(five.explanation.slice(-6), [FIRST, ...[2, 3, 4, 5, 6].map(line)]);
    const seven = await ask(mixed(8, [2, 3, 4, 5, 6, 7, 8]), toServer);
    assert.equal(seven.others?.length, 7);
    assert.deepEqual(seven.explanation.slice(-7), [FIRST, ...[2, 3, 4, 5, 6].map(line), "and 2 more"]);
  });

  test("one outcome by the same way is told once, by two ways twice", async () => {
    const subsets = destinationText("a", "s", {
      host: "s",
      subsets: [
        { name: "one", labels: { v: "v1" } },
        { name: "two", labels: { v: "v2" } },
      ],
    });
    const route = (...names: readonly string[]) =>
      routeText("a", "s", {
        hosts: ["s"],
        http: [{ route: names.map((subset) => ({ destination: { host: "s", subset }, weight: 1 })) }],
      });
    const ways = async (...names: readonly string[]) =>
      (await ask(mixed(2, [2]) + subsets + route(...names), toServer)).others?.map((other) => other.way);
    const two = ["outbound|80|two|s.a.svc.cluster.local at a/s2:8080"];
    assert.deepEqual(await ways("one", "two"), [two]);
    assert.deepEqual(await ways("one", "two", "two"), [two]);
    const whole = destinationText("a", "s", {
      host: "s",
      subsets: [{ name: "one", labels: { v: "v1" } }, { name: "all" }],
    });
    const both = await ask(mixed(2, [2]) + whole + route("one", "all"), toServer);
    assert.deepEqual(
      both.others?.map((other) => other.way),
      [["outbound|80|all|s.a.svc.cluster.local at a/s2:8080"]],
    );
  });

  test("an outcome that is not known is told as unknown", async () => {
    const tokens = tokenText("a", "t", {
      selector: { matchLabels: { v: "v2" } },
      jwtRules: [{ issuer: "https://issuer.example", jwksUri: "https://issuer.example/keys" }],
    });
    const part = (value: object): string => btoa(JSON.stringify(value)).replaceAll("=", "");
    const jwt = `${part({ alg: "RS256", kid: "k" })}.${part({ iss: "https://issuer.example", sub: "x" })}.AAAA`;
    const decision = await ask(mixed(2, []) + tokens, { ...toServer, jwt });
    assert.equal(decision.explanation.at(-1), `by ${way(2)}: unknown (401 unknown) by a/s2`);
  });
});

describe("another outcome is one of", () => {
  const part = (value: object): string => btoa(JSON.stringify(value)).replaceAll("=", "");
  const jwt = `${part({ alg: "RS256" })}.${part({ iss: "i", sub: "x", aud: "web" })}.AAAA`;
  const tokens = (index: number, rule: object): string =>
    tokenText("a", `t${index}`, { ...selected(index), jwtRules: [{ jwks: '{"keys":[]}', ...rule }] });

  test("another status, for one and the same reason", async () => {
    const text = TWO + tokens(1, { issuer: "other" }) + tokens(2, { issuer: "i", audiences: ["api"] });
    assert.deepEqual(await outcomes(text, { ...toServer, jwt }), [
      [false, 401, "jwt"],
      [false, 403, "jwt"],
    ]);
  });

  test("another reason, with one and the same status", async () => {
    const provider = { service: "c.a.svc.cluster.local", port: 80 };
    const config = meshConfigText({ extensionProviders: [{ name: "x", envoyExtAuthzGrpc: provider }] });
    const custom = { ...selected(2), action: "CUSTOM", provider: { name: "x" }, rules: [{}] };
    const asks = serviceText("a", "c") + config + authorizationText("a", "x", custom);
    assert.deepEqual(await outcomes(TWO + denied(1) + asks), [
      [false, 403, "rbac"],
      [false, 403, "unknown"],
    ]);
  });

  test("not another policy that refuses alike", async () => {
    assert.deepEqual(await outcomes(TWO + denied(1) + denied(2)), [[false, 403, "rbac"]]);
  });
});

test("ways through a gateway are told with each part", async () => {
  const front = resourceText("v1", "Service", "gw", "in", {
    selector: { app: "in" },
    ports: [{ name: "http", port: 80, targetPort: 8080 }],
  });
  const server = { port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["s.example"] };
  const gateway = gatewayText("gw", "g", { selector: { istio: "in" }, servers: [server] });
  const http = [{ route: [{ destination: { host: "s.a.svc.cluster.local", port: { number: 80 } } }] }];
  const route = routeText("gw", "v", { hosts: ["s.example"], gateways: ["g"], http });
  const { explanation } = await decide(
    meshOf(TWO + gatewayPodText("gw", "in", "10.5.0.1") + front + gateway + route + denied(2)),
    { from: { ip: "203.0.113.7" }, via: "gw/in", to: { host: "s.example", port: 80 } },
  );
  const way = (index: number) => `gw/in:8080, outbound|80||s.a.svc.cluster.local at a/s${index}:8080`;
  assert.deepEqual(explanation.slice(-2), [
    `mixed: this is what comes of ${way(1)}; elsewhere it is not the same`,
    `by ${way(2)}: denied (403 rbac) by a/s2`,
  ]);
});

test("another mode's policy without rules is told without one", async () => {
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "far", namespace: "amb", labels: { app: "far" } },
    spec: { serviceAccountName: "far", containers: [{ name: "app", image: "app" }] },
    status: { podIP: "10.0.0.9" },
  };
  const tokens = tokenText("amb", "t", {
    jwtRules: [{ issuer: "i", jwks: '{"keys":[]}', presence: "REQUIRED" }],
  });
  const ambient = namespaceText("amb", { "istio.io/dataplane-mode": "ambient" });
  const decision = await decide(
    meshOf(`${ambient}---\n${JSON.stringify(pod)}\n${tokens}`),
    {
      from: { principal: "cluster.local/ns/a/sa/c", ip: "10.0.0.1" },
      to: { workload: "amb/far", port: 8080 },
    },
    { compareModes: true },
  );
  assert.equal(decision.allowed, true);
  assert.ok(
    decision.explanation.includes(
      "behind a sidecar the server decides otherwise: denied (jwt-required, RequestAuthentication amb/t)",
    ),
    decision.explanation.join("\n"),
  );
});

describe("the egress gateway that takes the name outside for the one inside", () => {
  const OUT = "out.gw.svc.cluster.local";
  const toOutside = (host: string) => [{ destination: { host, port: { number: 443 } } }];
  const front = resourceText("v1", "Service", "gw", "out", {
    selector: { app: "out" },
    ports: [{ name: "tls", port: 443, targetPort: 8443 }],
  });
  const hosts = entryText("gw", "hosts", {
    hosts: ["one.example", "two.example"],
    ports: [{ number: 443, name: "tls", protocol: "TLS" }],
    location: "MESH_EXTERNAL",
    resolution: "DNS",
  });
  const server = {
    port: { number: 443, name: "tls", protocol: "TLS" },
    hosts: ["one.example", "two.example"],
    tls: { mode: "ISTIO_MUTUAL" },
  };
  /** What the client's proxy says outside is the DestinationRule's. */
  const outside = (sni: string): string =>
    destinationText("gw", "out", {
      host: OUT,
      subsets: [{ name: "one", trafficPolicy: { tls: { mode: "ISTIO_MUTUAL", sni } } }],
    });
  const one = routeText("gw", "one", {
    hosts: ["one.example"],
    gateways: ["mesh", "g"],
    tls: [
      {
        match: [{ gateways: ["mesh"], port: 443, sniHosts: ["one.example"] }],
        route: [{ destination: { host: OUT, subset: "one", port: { number: 443 } } }],
      },
    ],
    tcp: [{ match: [{ gateways: ["g"], port: 443 }], route: toOutside("one.example") }],
  });
  const two = routeText("gw", "two", {
    hosts: ["two.example"],
    gateways: ["g"],
    tcp: [{ route: toOutside("two.example") }],
  });
  const gateway = gatewayText("gw", "g", { selector: { istio: "out" }, servers: [server] });
  const mesh = CLIENT + gatewayPodText("gw", "out", "10.5.0.1") + front + hosts + gateway;
  const allow = authorizationText("gw", "p", {
    rules: [{ when: [{ key: "connection.sni", values: ["two.example"] }] }],
  });
  const request: AccessRequest = {
    from: { workload: "a/c" },
    to: { host: "one.example", port: 443 },
    protocol: "tls",
    sni: "one.example",
  };
  const ask = (text: string, semantics: "istio" | "strict") => decide(meshOf(text), request, { semantics });

  test("where strict refuses what Istio lets through, the difference has no destination", async () => {
    const spoofed = mesh + outside("two.example") + one + two + allow;
    const strict = await ask(spoofed, "strict");
    assert.equal(strict.allowed, false);
    assert.deepEqual(strict.differs, {
      semantics: "istio",
      allowed: true,
      code: 0,
      reason: "ok",
      cause: "allow-matched",
      policy: "AuthorizationPolicy gw/p",
      rule: 0,
      hop: "gw/out",
    });
    const istio = await ask(spoofed, "istio");
    assert.deepEqual(
      [istio.allowed, istio.differs?.allowed, "to" in (istio.differs ?? {})],
      [true, false, false],
    );
  });

  test("where both let it through, to different hosts, the difference is where", async () => {
    // Istio takes the oldest VirtualService for the server, strict semantics that of the name inside.
    const honest = mesh + outside("one.example");
    const istio = await ask(honest + two + one, "istio");
    assert.equal(istio.allowed, true);
    assert.equal(istio.differs?.allowed, true);
    assert.equal(istio.differs?.to, "outbound|443||one.example");
    assert.equal(
      istio.explanation.at(-1),
      "Bulwark's own proxies (strict semantics) send it elsewhere: gw/out to outbound|443||one.example",
    );
    const same = await ask(honest + one + two, "istio");
    assert.deepEqual([same.allowed, same.differs], [true, undefined]);
  });
});
