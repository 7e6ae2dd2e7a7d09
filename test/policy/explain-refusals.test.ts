import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { assumedClaims } from "../../src/policy/jwt/verify-jwt.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { allow, DRY_RUN, deny, explained, from, NONE_MATCHES, nearest, TCP, to } from "./explain-fixture.ts";
import { authorization, connect, get, meshConfig, resource } from "./inbound-fixture.ts";

describe("connections that are refused, or need no rule", () => {
  const strict = resource("PeerAuthentication", "default", { mtls: { mode: "STRICT" } });
  const CASES: readonly (readonly [
    what: string,
    readonly Resource[],
    ReturnType<typeof connect>,
    readonly string[],
  ])[] = [
    [
      "an HTTP chain",
      [],
      connect(),
      [
        "the connection is taken; each HTTP request on it is decided by itself",
        "port 8080 is PERMISSIVE by default; what came is TLS, client: cluster.local/ns/foo/sa/sleep",
      ],
    ],
    [
      "another trust domain",
      [strict],
      connect({ principal: "other/ns/foo/sa/sleep" }),
      [
        "refused in the handshake: the client's identity is not of the mesh's trust domain or an alias of it",
        "port 8080 is STRICT by PeerAuthentication foo/default; what came is TLS, client: other/ns/foo/sa/sleep",
      ],
    ],
    [
      "a certificate of nobody's",
      [strict],
      connect({ tls: "rogue" }),
      [
        "refused in the handshake: the client's certificate is not a valid one of this mesh's authority for a workload",
        "port 8080 is STRICT by PeerAuthentication foo/default; what came is TLS, client: a certificate of an authority that the mesh does not trust",
      ],
    ],
    [
      "no certificate",
      [strict],
      connect({ tls: "simple", principal: null }),
      [
        "refused in the handshake: the client has no certificate",
        "port 8080 is STRICT by PeerAuthentication foo/default; what came is TLS, client: no certificate",
      ],
    ],
    [
      "the proxy's own port",
      [],
      connect({ destinationPort: 15006 }),
      [
        "refused: nothing listens on the port",
        "port 15006 is PERMISSIVE by default; what came is TLS, client: cluster.local/ns/foo/sa/sleep",
      ],
    ],
  ];
  for (const [what, resources, connection, lines] of CASES)
    test(`${what}: the cause, then the port's mode, who set it, and what came`, () => {
      assert.deepEqual(explained(resources, connection, null), lines);
    });

  test("a request on a connection that is refused is explained by the connection", () => {
    const plaintext = connect({ principal: null });
    assert.deepEqual(explained([strict], plaintext), explained([strict], plaintext, null));
  });

  test("TLS that is passed through is judged without its client, and that is said", () => {
    const passed = connect({ destinationPort: 9000, alpn: ["h2"] });
    assert.deepEqual(explained([], passed, null), [
      "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
      "the connection is TLS that is passed through: its client certificate is not known here",
    ]);
    assert.deepEqual(explained([allow(from({ namespaces: ["foo"] }))], passed, null), [
      NONE_MATCHES,
      nearest(0),
      "it wants namespaces in [foo]; came no client certificate",
      "the connection is TLS that is passed through: its client certificate is not known here",
    ]);
  });

  test("a workload without a proxy checks nothing", () => {
    const bare = resource("Namespace", "foo", undefined, {
      namespace: "",
      labels: { "istio-injection": "disabled" },
    });
    assert.deepEqual(
      explained([bare, deny({})])[0],
      "allowed: no proxy stands before the workload, so nothing is checked",
    );
  });
});

describe("external authorizers", () => {
  const PROVIDERS = meshConfig(`
extensionProviders:
- name: authz
  envoyExtAuthzGrpc: {service: httpbin.foo.svc.cluster.local, port: 80}
- name: second
  envoyExtAuthzHttp: {service: httpbin.foo.svc.cluster.local, port: 9000}
`);
  const custom = (
    name: string,
    provider: string,
    rest = {},
    rules: unknown = [to({ paths: ["/x"] })],
  ): Resource => authorization(name, { action: "CUSTOM", provider: { name: provider }, rules }, rest);
  const asked = (answer?: "deny" | "error") => {
    const request = get("/x");
    request.authorizer = answer;
    return request;
  };
  const WHICH =
    "(provider `authz`, grpc, httpbin.foo.svc.cluster.local:80): AuthorizationPolicy foo/c rule 0";
  const CLAUSE = "paths in [/x]: came `/x`";

  test("unanswered, denied and failed name the authorizer and the clause", () => {
    const lines = (answer?: "deny" | "error") =>
      explained([PROVIDERS, custom("c", "authz")], connect(), asked(answer));
    assert.deepEqual(lines(), [`unknown: an external authorizer has to be asked ${WHICH}`, CLAUSE]);
    assert.deepEqual(lines("deny"), [`denied by the external authorizer ${WHICH}`, CLAUSE]);
    assert.deepEqual(lines("error"), [
      `denied: the external authorizer could not be asked, and its provider does not fail open ${WHICH}`,
      CLAUSE,
    ]);
  });

  test("the second rule of the second policy is told by its own authorizer", () => {
    const rules = [to({ paths: ["/y"] }), to({ paths: ["/x"] })];
    const lines = explained(
      [PROVIDERS, custom("b", "second", {}, [to({ paths: ["/z"] })]), custom("c", "second", {}, rules)],
      connect(),
      asked(),
    );
    assert.deepEqual(lines, [
      "unknown: an external authorizer has to be asked (provider `second`, http, httpbin.foo.svc.cluster.local:9000): AuthorizationPolicy foo/c rule 1",
      CLAUSE,
    ]);
  });

  test("one that cannot be used, and a dry-run policy, deny by their clause; no authorizer is named", () => {
    assert.deepEqual(explained([PROVIDERS, custom("c", "nobody")], connect(), asked()), [
      "denied: the CUSTOM policy names a provider that cannot be used, or several providers apply: AuthorizationPolicy foo/c rule 0",
      CLAUSE,
    ]);
    const tried = [
      PROVIDERS,
      custom("b", "authz", {}, [to({ paths: ["/y"] })]),
      custom("c", "authz", DRY_RUN),
    ];
    assert.deepEqual(explained(tried, connect(), asked()), [
      "denied: the CUSTOM policy is annotated istio.io/dry-run, which Istio (since 1.30) makes a DENY of what it matches: AuthorizationPolicy foo/c rule 0",
      CLAUSE,
    ]);
  });

  test("on TCP", () => {
    const lines = explained([PROVIDERS, custom("c", "authz")], connect(TCP), null);
    assert.deepEqual(lines, [
      `unknown: an external authorizer has to be asked ${WHICH}`,
      "the rule matches everything",
    ]);
  });
});

describe("tokens", () => {
  const tokens = resource("RequestAuthentication", "t", { jwtRules: [{ issuer: "i", jwks: '{"keys":[]}' }] });

  test("a request whose token was not verified is unknown", () => {
    assert.deepEqual(explained([tokens]), ["unknown: the request's token was not verified"]);
  });

  test("of a token that is refused no ALLOW rule is told, though policies apply", () => {
    assert.deepEqual(explained([tokens, allow(to({ methods: ["PUT"] }))]), [
      "unknown: the request's token was not verified",
    ]);
  });

  test("a refusal names the RequestAuthentication where one is to blame", () => {
    const request = get("/");
    const refused = (policy: string | null) => {
      request.jwt = {
        ...assumedClaims({}),
        refusal: {
          allowed: false,
          code: 401,
          reason: "jwt",
          cause: "jwt-invalid",
          layer: "jwt",
          policy,
          rule: null,
        },
      };
      return explained([tokens], connect(), request);
    };
    assert.deepEqual(refused(null), ["refused with 401: the token is not valid"]);
    assert.deepEqual(refused("RequestAuthentication foo/t"), [
      "refused with 401: the token is not valid (RequestAuthentication foo/t)",
    ]);
  });
});
