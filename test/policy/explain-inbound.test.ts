import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { causeText } from "../../src/policy/explain.ts";
import type { Semantics } from "../../src/policy/inbound.ts";
import { assumedClaims } from "../../src/policy/jwt/verify-jwt.ts";
import { BAD_REQUEST } from "../../src/policy/verdict-catalogue.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { allow, DRY_RUN, deny, explained, from, NONE_MATCHES, nearest, TCP, to } from "./explain-fixture.ts";
import { authorization, connect, get, resource } from "./inbound-fixture.ts";

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
      nearest(1),
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
      nearest(0),
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
      nearest(0),
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
  const NEAR = [NONE_MATCHES, nearest(0), "it wants methods in [PUT]; came `GET`"];

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
      nearest(0),
      "it wants namespaces in [bar]; came cluster.local/ns/foo/sa/sleep",
      "rule 1 of AuthorizationPolicy foo/a counts for nothing on a port that is decided as TCP: it asks for HTTP, or has a value that cannot be compiled",
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
        nearest(0),
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
