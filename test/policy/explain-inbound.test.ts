import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { causeText, explainInbound } from "../../src/policy/explain.ts";
import type { Semantics } from "../../src/policy/inbound.ts";
import { assumedClaims } from "../../src/policy/jwt/verify-jwt.ts";
import { BAD_REQUEST } from "../../src/policy/verdict-catalogue.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { authorization, connect, get, meshConfig, policyOf, resource } from "./inbound-fixture.ts";

const TCP = { destinationPort: 9000, alpn: ["istio"] };
const DRY_RUN = { annotations: { "istio.io/dry-run": "true" } };
const NONE_MATCHES = "denied: ALLOW policies apply to the workload and none of their rules matches";
const NEAREST = (rule: number, policy = "AuthorizationPolicy foo/a"): string =>
  `the nearest rule that would have allowed it is rule ${rule} of ${policy}`;

const from = (source: object) => ({ from: [{ source }] });
const to = (operation: object) => ({ to: [{ operation }] });
const allow = (...rules: readonly object[]): Resource => authorization("a", { rules });
const deny = (...rules: readonly object[]): Resource => authorization("d", { action: "DENY", rules });

/** @param request null: about the connection. */
const explained = (
  resources: readonly Resource[],
  connection = connect(),
  request: ReturnType<typeof get> | null = get("/"),
  semantics: Semantics = "istio",
): readonly string[] => explainInbound(policyOf(resources, semantics), connection, request ?? undefined);

describe("the clauses that matched", () => {
  test("a rule without conditions matches everything", () => {
    assert.deepEqual(explained([deny({})]), [
      "denied by a rule: AuthorizationPolicy foo/d rule 0",
      "the rule matches everything",
    ]);
  });

  test("of several sources and operations the first that matched is told, each condition with what came", () => {
    const rule = {
      from: [
        { source: { namespaces: ["bar"] } },
        { source: { namespaces: ["foo"], ipBlocks: ["10.1.0.0/16"] } },
      ],
      to: [{ operation: { methods: ["PUT"] } }, { operation: { notPaths: ["/b"] } }],
    };
    assert.deepEqual(explained([deny(rule)]), [
      "denied by a rule: AuthorizationPolicy foo/d rule 0",
      "namespaces in [foo]: came cluster.local/ns/foo/sa/sleep",
      "ipBlocks in [10.1.0.0/16]: came 10.1.0.5",
      "paths not in [/b]: came `/`",
    ]);
  });

  test("they are those of the rule that decided, whatever other policies have under the same index", () => {
    const rules = [deny(to({ methods: ["PUT"] })), allow(to({ methods: ["GET"] }))];
    assert.deepEqual(explained(rules), [
      "allowed by a rule: AuthorizationPolicy foo/a rule 0",
      "methods in [GET]: came `GET`",
    ]);
  });

  test("values and notValues stand side by side; of more than five values the first five, and how many more", () => {
    const values = (count: number): string[] => Array.from({ length: count }, (_, index) => `/${index}`);
    const paths = (count: number) => ["/", ...values(count - 1)];
    const line = (operation: object): string | undefined => explained([deny(to(operation))])[1];
    assert.equal(line({ paths: paths(5) }), "paths in [/, /0, /1, /2, /3]: came `/`");
    assert.equal(line({ paths: paths(6) }), "paths in [/, /0, /1, /2, /3 and 1 more]: came `/`");
    assert.equal(
      line({ paths: ["/"], notPaths: values(8) }),
      "paths in [/] and not in [/0, /1, /2, /3, /4 and 3 more]: came `/`",
    );
  });

  test("rules of TCP chains are told by their connection alone", () => {
    assert.deepEqual(explained([deny(from({ namespaces: ["foo"] }))], connect(TCP), null), [
      "denied by a rule: AuthorizationPolicy foo/d rule 0",
      "namespaces in [foo]: came cluster.local/ns/foo/sa/sleep",
    ]);
    assert.deepEqual(explained([allow(to({ ports: ["9000"] }))], connect(TCP), null), [
      "allowed by a rule: AuthorizationPolicy foo/a rule 0",
      "ports in [9000]: came 9000",
    ]);
  });
});

describe("the nearest rule that would have allowed", () => {
  test("it is the one with the fewest conditions that fail, of equal ones the first by Envoy's names", () => {
    const rules = [
      { ...from({ namespaces: ["bar"] }), ...to({ methods: ["PUT"], paths: ["/b"] }) },
      { ...from({ namespaces: ["foo"] }), ...to({ methods: ["PUT"], paths: ["/b"] }) },
      { ...from({ namespaces: ["baz"] }), ...to({ methods: ["PUT"] }) },
    ];
    assert.deepEqual(explained([allow(...rules)]), [
      NONE_MATCHES,
      NEAREST(1),
      "it wants methods in [PUT]; came `GET`",
      "it wants paths in [/b]; came `/`",
    ]);
  });

  test("of its sources and operations those with the fewest conditions that fail, of equal ones the first", () => {
    const rule = {
      from: [
        { source: { namespaces: ["bar"], ipBlocks: ["10.9.0.0/16"] } },
        { source: { namespaces: ["baz"] } },
        { source: { namespaces: ["qux"] } },
      ],
      to: [{ operation: { methods: ["PUT"] } }, { operation: { methods: ["GET"] } }],
    };
    assert.deepEqual(explained([allow(rule)]), [
      NONE_MATCHES,
      NEAREST(0),
      "it wants namespaces in [baz]; came cluster.local/ns/foo/sa/sleep",
    ]);
  });

  test("without any rule there is none to be near", () => {
    assert.deepEqual(explained([allow()]), [
      NONE_MATCHES,
      "the ALLOW policies that apply have no rule that could match here",
    ]);
  });

  test("what a person needs is told of each kind of caller", () => {
    const rule = from({ principals: ["cluster.local/ns/foo/sa/x"], requestPrincipals: ["*"] });
    assert.deepEqual(explained([allow(rule)], connect({ principal: null })), [
      NONE_MATCHES,
      NEAREST(0),
      "it wants principals in [cluster.local/ns/foo/sa/x]; came no client certificate",
      "it wants requestPrincipals in [*]; came no verified token",
    ]);
  });
});

describe("ALLOW rules that count for nothing", () => {
  const BAD = from({ ipBlocks: ["10.0.0.0/99"] });
  const COUNTS = "counts for nothing: it has a value that cannot be compiled";
  const lines = (count: number): readonly string[] =>
    explained([allow(to({ methods: ["PUT"] }), ...Array.from({ length: count }, () => BAD))]);
  const NEAR = [NONE_MATCHES, NEAREST(0), "it wants methods in [PUT]; came `GET`"];

  test("the first two are named, and how many more there are", () => {
    const [one, two] = [1, 2].map((rule) => `rule ${rule} of AuthorizationPolicy foo/a ${COUNTS}`);
    assert.deepEqual(lines(0), NEAR);
    assert.deepEqual(lines(1), [...NEAR, one]);
    assert.deepEqual(lines(2), [...NEAR, one, two]);
    assert.deepEqual(lines(3), [...NEAR, one, two, "and so do 1 more"]);
    assert.deepEqual(lines(5), [...NEAR, one, two, "and so do 3 more"]);
  });

  test("on TCP the reason may be that they ask for HTTP", () => {
    const rules = [from({ namespaces: ["bar"] }), to({ paths: ["/b"] })];
    assert.deepEqual(explained([allow(...rules)], connect(TCP), null), [
      NONE_MATCHES,
      NEAREST(0),
      "it wants namespaces in [bar]; came cluster.local/ns/foo/sa/sleep",
      "rule 1 of AuthorizationPolicy foo/a counts for nothing on a port that is decided as TCP: it asks for HTTP, or has a value that cannot be compiled",
    ]);
  });
});

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
      NEAREST(0),
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

describe("identities of another form", () => {
  const odd = connect({ principal: "cluster.local/ns/bar/sa/ns/foo/sa/sleep" });
  const NOTES: Readonly<Record<Semantics, string>> = {
    istio:
      "the identity is not <trust domain>/ns/<namespace>/sa/<account>: Istio matches namespaces and accounts anywhere in it (strict semantics would not)",
    strict:
      "the identity is not <trust domain>/ns/<namespace>/sa/<account>: no rule about namespaces or accounts allows it, and every one that denies does",
  };
  for (const semantics of ["istio", "strict"] as const) {
    test(`${semantics}: it is said with a rule that matched, and where none did`, () => {
      assert.deepEqual(explained([deny({})], odd, get("/"), semantics), [
        "denied by a rule: AuthorizationPolicy foo/d rule 0",
        "the rule matches everything",
        NOTES[semantics],
      ]);
      assert.deepEqual(explained([allow(to({ methods: ["PUT"] }))], odd, get("/"), semantics), [
        NONE_MATCHES,
        NEAREST(0),
        "it wants methods in [PUT]; came `GET`",
        NOTES[semantics],
      ]);
    });
  }

  test("nothing is said of usual identities and of nobody, nor where no rule decided", () => {
    const noted = (connection: ReturnType<typeof connect>, ...resources: readonly Resource[]) =>
      explained(resources, connection).some((line) => line.startsWith("the identity is not"));
    assert.ok(noted(odd, deny({})));
    assert.ok(!noted(connect(), deny({})));
    assert.ok(!noted(connect({ principal: null }), deny({})));
    assert.ok(!noted(odd));
  });
});

describe("what AUDIT and dry-run policies say", () => {
  const OPEN = "allowed: no DENY policy matches and no ALLOW policy applies to the workload";
  const audit = authorization("audit", { action: "AUDIT", rules: [{}] });
  const wouldDeny = authorization("dry", { action: "DENY", rules: [{}] }, DRY_RUN);
  const wouldAllow = authorization("try", { rules: [to({ ports: ["8080"] })] }, DRY_RUN);

  test("of a request, and of a connection", () => {
    const observed = [
      "audited by AuthorizationPolicy foo/audit rule 0",
      "dry run: would be denied by AuthorizationPolicy foo/dry rule 0",
    ];
    assert.deepEqual(explained([audit, wouldDeny, wouldAllow]), [
      OPEN,
      ...observed,
      "dry run: would be allowed by AuthorizationPolicy foo/try rule 0",
    ]);
    assert.deepEqual(explained([audit, wouldDeny, wouldAllow], connect(TCP), null), [
      OPEN,
      ...observed,
      "dry-run ALLOW policies apply, and none of their rules matches: they would deny",
    ]);
  });
});

test("causeText() is the sentence with which an explanation begins", () => {
  assert.equal(causeText("no-listener"), explained([], connect({ destinationPort: 15006 }), null)[0]);
  assert.equal(causeText("deny-matched"), "denied by a rule");
});

test("an explanation of a cause that has no sentence is the cause", () => {
  const jwt = { ...assumedClaims({}), refusal: { ...BAD_REQUEST, cause: "something-new" } };
  const request = get("/");
  request.jwt = jwt;
  const tokens = resource("RequestAuthentication", "t", { jwtRules: [{ issuer: "i", jwks: '{"keys":[]}' }] });
  assert.deepEqual(explained([tokens], connect(), request), ["something-new"]);
});
