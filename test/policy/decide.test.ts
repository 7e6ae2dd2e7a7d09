/** Whole answers: one of each shape, every field. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type DecideOptions, decide, decideAll } from "../../src/policy/decide.ts";
import type { Decision } from "../../src/policy/path/decision.ts";
import { meshOf } from "./outbound/mesh-of.ts";
import {
  authorizationText,
  namespaceText,
  peerText,
  podText,
  serviceText,
  tokenText,
} from "./path/journey-text.ts";

const CLIENT = podText("a", "c", { ip: "10.0.0.1" });
const SERVER = podText("a", "s", { ip: "10.0.0.2", ports: [8080, 9000] }) + serviceText("a", "s");
const SELECTED = { selector: { matchLabels: { app: "s" } } };
const rules = (source: object): object[] => [{ from: [{ source }] }];
const toServer = { from: { workload: "a/c" }, to: { service: "s", port: 80 } } as const;
const atServer = (principal: string | null) =>
  ({ from: { principal, ip: "10.0.0.1" }, to: { workload: "a/s", port: 8080 } }) as const;

const ask = (
  text: string,
  request: Parameters<typeof decide>[1],
  options: DecideOptions = {},
): Promise<Decision> => decide(meshOf(text), request, options);

const ROUTED = {
  hop: "a/c",
  side: "client",
  allowed: true,
  code: 200,
  reason: "ok",
  cause: "routed",
  layer: "client-route",
  policy: null,
  rule: null,
  to: "outbound|80||s.a.svc.cluster.local",
  tls: "mtls",
} as const;
const OPEN = {
  hop: "a/s",
  side: "server",
  allowed: true,
  code: 200,
  reason: "ok",
  cause: "no-allow-policies",
  layer: "authorization",
  policy: null,
  rule: null,
} as const;
const FIELDS = {
  cluster: "outbound|80||s.a.svc.cluster.local",
  tls: "mtls",
  sni: "outbound_.80_._.s.a.svc.cluster.local",
  sans: ["spiffe://cluster.local/ns/a/sa/s"],
  endpoints: ["10.0.0.2:8080"],
};

describe("decide()", () => {
  test("over the whole path: the last hop's outcome, every hop, what the client chose, and explanations by hop", async () => {
    const { explanation, ...decision } = await ask(CLIENT + SERVER, { ...toServer, id: "r1" });
    const { side: _side, ...own } = OPEN;
    assert.deepEqual(decision, {
      id: "r1",
      ...own,
      semantics: "istio",
      ...FIELDS,
      hops: [ROUTED, OPEN],
    });
    assert.ok(explanation.length >= 2);
    assert.ok(explanation.every((line) => line.startsWith("a/c: ") || line.startsWith("a/s: ")));
    assert.equal(
      explanation.at(-1),
      "a/s: allowed: no DENY policy matches and no ALLOW policy applies to the workload",
    );
  });

  test("at the server alone: one hop, which needs no name in the explanation; without an id it is empty", async () => {
    const { side: _side, ...own } = OPEN;
    assert.deepEqual(await ask(SERVER, atServer("cluster.local/ns/a/sa/c")), {
      id: "",
      ...own,
      semantics: "istio",
      hops: [OPEN],
      explanation: ["allowed: no DENY policy matches and no ALLOW policy applies to the workload"],
    });
  });

  test("a refusal names policy and rule", async () => {
    const deny = authorizationText("a", "d", {
      ...SELECTED,
      action: "DENY",
      rules: rules({ namespaces: ["a"] }),
    });
    const refused = {
      allowed: false,
      code: 403,
      reason: "rbac",
      cause: "deny-matched",
      policy: "AuthorizationPolicy a/d",
      rule: 0,
      hop: "a/s",
      layer: "authorization",
    } as const;
    assert.deepEqual(await ask(SERVER + deny, atServer("cluster.local/ns/a/sa/c")), {
      id: "",
      ...refused,
      semantics: "istio",
      hops: [{ ...refused, side: "server" }],
      explanation: [
        "denied by a rule: AuthorizationPolicy a/d rule 0",
        "namespaces in [a]: came cluster.local/ns/a/sa/c",
      ],
    });
  });

  test("clientOnly: what the client's proxy does, and nobody behind it", async () => {
    const deny = authorizationText("a", "d", { ...SELECTED, action: "DENY", rules: [{}] });
    const { explanation, ...decision } = await ask(CLIENT + SERVER + deny, toServer, { clientOnly: true });
    const { side: _side, to: _to, tls: _tls, ...own } = ROUTED;
    assert.deepEqual(decision, { id: "", ...own, semantics: "istio", ...FIELDS, hops: [ROUTED] });
    assert.ok(explanation.every((line) => !line.startsWith("a/c: ")));
    assert.equal((await ask(CLIENT + SERVER + deny, toServer)).allowed, false);
  });

  test("a workload that the mesh does not have is an error", async () => {
    await assert.rejects(ask(SERVER, { to: { workload: "a/x", port: 80 } }), {
      code: "BW_REQUEST_INVALID",
      message: "the mesh has no workload `a/x`",
    });
  });
});

describe("decide(): what the other semantics decide", () => {
  const ODD = "cluster.local/ns/b/sa/ns/a/sa/c";
  const allowNamespace = authorizationText("a", "p", { ...SELECTED, rules: rules({ namespaces: ["a"] }) });
  const differing = {
    allowed: false,
    code: 403,
    reason: "rbac",
    cause: "no-allow-matched",
    policy: null,
    rule: null,
    hop: "a/s",
  } as const;

  test("istio allows, strict does not: the difference is whole, and said at the end, by the hop where no policy decided", async () => {
    const decision = await ask(SERVER + allowNamespace, atServer(ODD));
    assert.equal(decision.allowed, true);
    assert.equal(decision.semantics, "istio");
    assert.deepEqual(decision.differs, { semantics: "strict", ...differing });
    assert.equal(
      decision.explanation.at(-1),
      "Bulwark's own proxies (strict semantics) decide otherwise: denied (403 rbac, no-allow-matched) by a/s",
    );
  });

  test("asked for strict, it is Istio's proxies that differ, by their policy", async () => {
    const decision = await ask(SERVER + allowNamespace, atServer(ODD), { semantics: "strict" });
    const { hop, allowed, cause, policy, rule, code, reason } = decision;
    assert.deepEqual({ hop, allowed, cause, policy, rule, code, reason }, differing);
    assert.equal(decision.semantics, "strict");
    assert.deepEqual(decision.differs, {
      semantics: "istio",
      allowed: true,
      code: 200,
      reason: "ok",
      cause: "allow-matched",
      policy: "AuthorizationPolicy a/p",
      rule: 0,
      hop: "a/s",
    });
    assert.equal(
      decision.explanation.at(-1),
      "Istio's proxies decide otherwise: allowed (200 ok, allow-matched) by a/s, AuthorizationPolicy a/p",
    );
  });

  test("another rule with the same outcome is no difference", async () => {
    const open = authorizationText("a", "q", { ...SELECTED, rules: [{}] });
    const decision = await ask(SERVER + allowNamespace + open, atServer(ODD));
    assert.equal(decision.policy, "AuthorizationPolicy a/p");
    assert.equal("differs" in decision, false);
    const strict = await ask(SERVER + allowNamespace + open, atServer(ODD), { semantics: "strict" });
    assert.equal(strict.policy, "AuthorizationPolicy a/q");
  });
});

describe("decide(): what the server's other mode does", () => {
  const AMBIENT = namespaceText("amb", { "istio.io/dataplane-mode": "ambient" });
  const far = `---\n${JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "far", namespace: "amb", labels: { app: "far" } },
    spec: { serviceAccountName: "far", containers: [{ name: "app", image: "app" }] },
    status: { podIP: "10.0.0.9" },
  })}\n`;
  const MIXED = AMBIENT + far;
  const byPath = authorizationText("a", "p", {
    ...SELECTED,
    rules: [{ to: [{ operation: { paths: ["/"] } }] }],
  });
  const deny = authorizationText("a", "d", {
    ...SELECTED,
    action: "DENY",
    rules: [{ to: [{ operation: { ports: ["8080"], methods: ["PUT"] } }] }],
  });
  const caller = atServer("cluster.local/ns/a/sa/c");

  test("it is asked where the mesh has both modes, or where it is wanted, and not where it is not", async () => {
    const mode = async (text: string, options: DecideOptions = {}) =>
      (await ask(text, caller, options)).otherMode?.mode;
    assert.equal(await mode(SERVER + byPath + MIXED), "ambient");
    assert.equal(await mode(SERVER + byPath), undefined);
    assert.equal(await mode(SERVER + byPath, { compareModes: true }), "ambient");
    assert.equal(await mode(SERVER + byPath + MIXED, { compareModes: false }), undefined);
    assert.equal(await mode(SERVER + MIXED), undefined, "the same in both");
  });

  test("of a server behind a sidecar: ztunnel's outcome, without a policy, and why", async () => {
    const decision = await ask(SERVER + byPath, caller, { compareModes: true });
    const why = decision.otherMode?.why ?? [];
    assert.deepEqual(decision.otherMode, {
      mode: "ambient",
      allowed: false,
      code: 0,
      reason: "rbac",
      cause: "no-allow-matched",
      policy: null,
      rule: null,
      why,
    });
    assert.ok(why.length > 0);
    assert.deepEqual(decision.explanation.slice(-1 - why.length), [
      "in ambient mode ztunnel decides otherwise: denied (no-allow-matched)",
      ...why.map((line) => `because ${line}`),
    ]);
  });

  test("of a server behind a sidecar: ztunnel's policy and rule", async () => {
    const decision = await ask(SERVER + deny, caller, { compareModes: true });
    assert.equal(decision.allowed, true);
    assert.ok(
      decision.explanation.includes(
        `in ambient mode ztunnel decides otherwise: denied (${decision.otherMode?.cause}, AuthorizationPolicy a/d rule 0)`,
      ),
      decision.explanation.join("\n"),
    );
  });

  test("of a server behind ztunnel: the sidecar's policy and rule", async () => {
    const paths = authorizationText("amb", "p", {
      selector: { matchLabels: { app: "far" } },
      rules: [{ to: [{ operation: { paths: ["/"] } }] }],
    });
    const decision = await ask(
      MIXED + paths,
      {
        from: { principal: "cluster.local/ns/a/sa/c", ip: "10.0.0.1" },
        to: { workload: "amb/far", port: 8080 },
      },
      { compareModes: true },
    );
    assert.equal(decision.allowed, false);
    assert.equal(decision.otherMode?.mode, "sidecar");
    assert.ok(
      decision.explanation.includes(
        "behind a sidecar the server decides otherwise: allowed (allow-matched, AuthorizationPolicy amb/p rule 0)",
      ),
      decision.explanation.join("\n"),
    );
  });
});

describe("decide(): keys and time", () => {
  const tokens = tokenText("a", "t", {
    ...SELECTED,
    jwtRules: [{ issuer: "https://issuer.example", jwksUri: "https://issuer.example/keys" }],
  });
  const part = (value: object): string => btoa(JSON.stringify(value)).replaceAll("=", "");
  const token = (claims: object): string =>
    `${part({ alg: "RS256", kid: "k" })}.${part({ iss: "https://issuer.example", sub: "x", ...claims })}.AAAA`;
  const cause = async (claims: object, options: DecideOptions): Promise<string> =>
    (await ask(SERVER + tokens, { ...atServer(null), jwt: token(claims) }, options)).cause;

  test("without a way to fetch keys what hangs on them is unknown; with one they are fetched", async () => {
    const asked: string[] = [];
    assert.equal(await cause({}, {}), "jwks-not-fetched");
    const fetchJwks = (uri: string) => {
      asked.push(uri);
      return Promise.resolve({ keys: [] });
    };
    assert.equal(await cause({}, { fetchJwks: fetchJwks as never }), "jwt-invalid");
    assert.ok(asked.length > 0);
  });

  test("tokens are checked against the time that is given, else the clock in seconds", async () => {
    const expired = async (exp: number, options: DecideOptions) => cause({ exp }, options);
    const soon = Math.floor(Date.now() / 1000) + 3600;
    assert.equal(await expired(soon, { nowSeconds: () => soon + 3600 }), "jwt-invalid");
    assert.equal(await expired(soon, {}), "jwks-not-fetched");
    assert.equal(await expired(soon - 7200, {}), "jwt-invalid");
  });
});

describe("decideAll()", () => {
  test("every pair by the semantics that are asked for, Istio's by default", async () => {
    const ambient = namespaceText("a", { "istio.io/dataplane-mode": "ambient" });
    const pod = (name: string, ip: string) =>
      `---\n${JSON.stringify({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name, namespace: "a", labels: { app: name } },
        spec: { serviceAccountName: name, containers: [{ name: "app", image: "app" }] },
        status: { podIP: ip },
      })}\n`;
    const strict = peerText("a", "default", { mtls: { mode: "STRICT" } });
    // To ztunnel, as Istio programs it, an empty selector selects nothing.
    const deny = authorizationText("a", "d", { selector: {}, action: "DENY", rules: [{}] });
    const mesh = meshOf(ambient + pod("c", "10.0.0.1") + pod("s", "10.0.0.2") + strict + deny);
    const pairs = async (options: Parameters<typeof decideAll>[2] = {}) =>
      (await decideAll(mesh, { to: "a/s", port: 8080 }, options))
        .map(({ from, verdict }) => `${from} ${verdict}`)
        .filter((pair) => !pair.startsWith("a/s"))
        .sort();
    assert.deepEqual(await pairs(), ["a/c allowed", "{plaintext} denied"]);
    assert.deepEqual(await pairs({ semantics: "strict" }), ["a/c denied", "{plaintext} denied"]);
  });
});
