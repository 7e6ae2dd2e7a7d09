import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { type AccessRequest, can, type Decision, loadMesh, type Mesh } from "../../../src/index.ts";

async function one(mesh: Mesh, request: AccessRequest, semantics?: "istio" | "strict"): Promise<Decision> {
  const [decision] = await can(mesh, [request], semantics === undefined ? {} : { semantics });
  assert.ok(decision !== undefined);
  return decision;
}

/** The fields that a test is about. */
function told({ allowed, code, reason, cause, hop, policy, rule }: Decision): unknown {
  return { allowed, code, reason, cause, hop, policy, rule };
}

describe("payroll", () => {
  let mesh: Mesh;
  before(async () => {
    ({ mesh } = await loadMesh("../shared/scenarios/payroll"));
  });
  const ask = (workload: string, more: Partial<AccessRequest>): Promise<Decision> =>
    one(mesh, {
      from: { workload },
      to: { service: "payroll.finance", port: 80 },
      path: "/accounts/7",
      ...more,
    });
  const refusal = {
    allowed: false,
    code: 403,
    reason: "rbac",
    cause: "no-allow-matched",
    hop: "finance/payroll",
    policy: null,
    rule: null,
  };

  test("the auditor may read an account, by rule 0 of the policy", async () => {
    const decision = await ask("finance/account-auditor", {});
    assert.deepEqual(told(decision), {
      allowed: true,
      code: 200,
      reason: "ok",
      cause: "allow-matched",
      hop: "finance/payroll",
      policy: "AuthorizationPolicy finance/auditor-reads-accounts",
      rule: 0,
    });
    assert.equal(decision.cluster, "outbound|80||payroll.finance.svc.cluster.local");
    assert.equal(decision.tls, "mtls");
    assert.deepEqual(decision.sans, ["spiffe://cluster.local/ns/finance/sa/payroll"]);
    assert.deepEqual(
      decision.hops.map(({ hop, side, allowed }) => [hop, side, allowed]),
      [
        ["finance/account-auditor", "client", true],
        ["finance/payroll", "server", true],
      ],
    );
  });

  const refused: readonly [string, string, Partial<AccessRequest>, RegExp][] = [
    [
      "another method",
      "finance/account-auditor",
      { method: "POST" },
      /it wants methods in \[GET\]; came `POST`/,
    ],
    [
      "another path",
      "finance/account-auditor",
      { path: "/salaries" },
      /paths in \[\/accounts\/\*\]; came `\/salaries`/,
    ],
    ["another workload", "finance/intranet", {}, /principals in .*account-auditor\]; came .*intranet/],
  ];
  for (const [what, workload, more, why] of refused) {
    test(`${what} is refused by payroll's proxy, and the nearest rule is named with what it wanted`, async () => {
      const decision = await ask(workload, more);
      assert.deepEqual(told(decision), refusal);
      const text = decision.explanation.join("\n");
      assert.match(text, /nearest rule .* rule 0 of AuthorizationPolicy finance\/auditor-reads-accounts/);
      assert.match(text, why);
    });
  }

  test("plaintext past the client's proxy is refused by PeerAuthentication, without an HTTP answer", async () => {
    const decision = await one(mesh, {
      from: { workload: "finance/account-auditor", principal: null },
      to: { service: "payroll.finance", port: 80 },
      path: "/accounts/7",
    });
    assert.deepEqual(told(decision), {
      ...refusal,
      code: 0,
      reason: "no-chain",
      cause: "no-chain",
      policy: "PeerAuthentication istio-system/default",
    });
  });

  test("TCP to the ledger is refused: a rule with HTTP attributes allows nothing there", async () => {
    const decision = await ask("finance/account-auditor", {
      to: { service: "payroll.finance", port: 9000 },
      protocol: "tcp",
    });
    assert.deepEqual(told(decision), { ...refusal, code: 0 });
  });

  test("the server's side alone decides the same, from identity and container port", async () => {
    const to = { workload: "finance/payroll", port: 8080 };
    const principal = "cluster.local/ns/finance/sa/account-auditor";
    assert.equal((await one(mesh, { from: { principal }, to, path: "/accounts/7" })).allowed, true);
    const denied = await one(mesh, { from: { principal }, to, path: "/salaries" });
    assert.deepEqual(told(denied), refusal);
    assert.equal(denied.hops.length, 1);
  });
});

describe("egress", () => {
  let mesh: Mesh;
  before(async () => {
    const loaded = await loadMesh("../shared/scenarios/egress");
    mesh = loaded.mesh;
    assert.deepEqual(loaded.warnings, []);
  });
  const ask = (
    workload: string,
    host: string,
    sni: string | undefined = host,
    semantics?: "istio" | "strict",
  ) =>
    one(
      mesh,
      {
        from: { workload },
        to: { host, port: 443 },
        protocol: "tls",
        ...(sni === "" ? {} : { sni }),
      },
      semantics,
    );
  const gateway = "istio-egress/istio-egressgateway";

  for (const [workload, host, policy] of [
    ["team-a/app-a", "www.ibm.com", "a-to-ibm"],
    ["team-b/app-b", "mongo1.composedb.com", "b-to-mongo1"],
  ] as const) {
    test(`${workload} reaches ${host} through the gateway, by its own policy`, async () => {
      for (const semantics of ["istio", "strict"] as const) {
        const decision = await ask(workload, host, host, semantics);
        assert.equal(decision.allowed, true);
        assert.equal(decision.hop, gateway);
        assert.equal(decision.policy, `AuthorizationPolicy istio-egress/${policy}`);
        assert.equal(decision.tls, "mtls");
        assert.equal(decision.sni, host);
      }
    });
  }

  for (const [workload, host] of [
    ["team-a/app-a", "mongo1.composedb.com"],
    ["team-b/app-b", "www.ibm.com"],
  ] as const) {
    test(`${workload} is refused ${host} at the gateway`, async () => {
      const decision = await ask(workload, host);
      assert.deepEqual(told(decision), {
        allowed: false,
        code: 0,
        reason: "rbac",
        cause: "no-allow-matched",
        hop: gateway,
        policy: null,
        rule: null,
      });
      assert.match(decision.explanation.join("\n"), /the nearest rule that would have allowed it/);
    });
  }

  test("a host that nobody registered is refused by the client's own proxy", async () => {
    const decision = await ask("team-a/app-a", "www.example.org");
    assert.deepEqual(
      [decision.reason, decision.hop, decision.cluster],
      ["blackhole", "team-a/app-a", "BlackHoleCluster"],
    );
  });

  test("a name inside that is not the one outside passes Istio's gateway and not Bulwark's: the difference is named", async () => {
    const spoofed = await ask("team-a/app-a", "www.ibm.com", "api.ibm.com", "strict");
    assert.equal(spoofed.allowed, true, "another of A's own names is no spoof");
    // The outer name is the DestinationRule's; a past-the-proxy client chooses both itself.
    const request: AccessRequest = {
      from: { principal: "cluster.local/ns/team-b/sa/app-b" },
      to: { host: "istio-egressgateway.istio-egress", port: 443 },
      protocol: "tcp",
      sni: "mongo1.composedb.com",
    };
    const decision = await one(mesh, request);
    assert.equal(decision.allowed, true);
    assert.equal(decision.differs?.semantics, "strict");
    assert.equal(decision.differs?.to, "outbound|443||mongo1.composedb.com");
    assert.match(
      decision.explanation.join("\n"),
      /Bulwark's own proxies \(strict semantics\) send it elsewhere/,
    );
  });

  test("TLS without a server name is refused", async () => {
    assert.equal((await ask("team-a/app-a", "www.ibm.com", "")).allowed, false);
  });
});

describe("bookinfo", () => {
  let mesh: Mesh;
  before(async () => {
    ({ mesh } = await loadMesh("../shared/real/bookinfo"));
  });

  test("reviews are routed by the user's header, to the workload of the subset", async () => {
    const ask = (headers: AccessRequest["headers"]) =>
      one(mesh, {
        from: { workload: "default/productpage-v1" },
        to: { service: "reviews", port: 9080 },
        path: "/reviews/0",
        ...(headers === undefined ? {} : { headers }),
      });
    assert.deepEqual(
      [(await ask([])).hop, (await ask([])).cluster],
      ["default/reviews-v3", "outbound|9080|v3|reviews.default.svc.cluster.local"],
    );
    assert.equal((await ask([["end-user", "jason"]])).hop, "default/reviews-v2");
  });

  test("from outside the ingress gateway passes its VirtualService's paths on, and answers others with 404", async () => {
    const ask = (path: string) =>
      one(mesh, {
        from: { ip: "203.0.113.7" },
        via: "istio-system/istio-ingressgateway",
        to: { host: "bookinfo.example", port: 80 },
        path,
      });
    const page = await ask("/productpage");
    assert.deepEqual(
      [page.allowed, page.code, page.hops.map(({ hop }) => hop)],
      [true, 200, ["istio-system/istio-ingressgateway", "default/productpage-v1"]],
    );
    const admin = await ask("/admin");
    assert.deepEqual([admin.allowed, admin.code, admin.reason], [false, 404, "no-route"]);
  });
});
