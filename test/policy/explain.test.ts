import assert from "node:assert/strict";
import { test } from "node:test";
import { explainInbound } from "../../src/policy/explain.ts";
import { authorization, connect, get, policyOf, resource } from "./inbound-fixture.ts";

const auditor = authorization("auditor-reads-accounts", {
  rules: [
    {
      from: [{ source: { principals: ["cluster.local/ns/audit/sa/account-auditor"] } }],
      to: [{ operation: { methods: ["GET"], paths: ["/accounts/*"] } }],
    },
    {
      from: [{ source: { namespaces: ["nobody"] } }],
      to: [{ operation: { methods: ["PUT"], ports: ["1"] } }],
    },
  ],
});
const fromAuditor = connect({ principal: "cluster.local/ns/audit/sa/account-auditor" });

test("explainInbound() names policy, rule and the clauses that matched", () => {
  assert.deepEqual(explainInbound(policyOf([auditor]), fromAuditor, get("/accounts/7")), [
    "allowed by a rule: AuthorizationPolicy foo/auditor-reads-accounts rule 0",
    "principals in [cluster.local/ns/audit/sa/account-auditor]: came cluster.local/ns/audit/sa/account-auditor",
    "methods in [GET]: came `GET`",
    "paths in [/accounts/*]: came `/accounts/7`",
  ]);
});

test("explainInbound() names the nearest rule that would have allowed, what it wants and what came", () => {
  assert.deepEqual(explainInbound(policyOf([auditor]), fromAuditor, get("/salaries")), [
    "denied: ALLOW policies apply to the workload and none of their rules matches",
    "the nearest rule that would have allowed it is rule 0 of AuthorizationPolicy foo/auditor-reads-accounts",
    "it wants paths in [/accounts/*]; came `/salaries`",
  ]);
});

test("explainInbound() tells the port's mode and who set it where the transport refused", () => {
  const strict = resource("PeerAuthentication", "default", { mtls: { mode: "STRICT" } });
  assert.deepEqual(explainInbound(policyOf([strict]), connect({ principal: null }), get("/")), [
    "refused: no filter chain takes the connection (plaintext to a STRICT port, or TLS without the mesh's ALPN)",
    "port 8080 is STRICT by PeerAuthentication foo/default; what came is plaintext",
  ]);
});

test("explainInbound() tells a certificate that is not trusted from none", () => {
  const came = (tls: "rogue" | "simple") =>
    explainInbound(policyOf([]), connect({ tls, principal: null }), get("/")).join("\n");
  assert.match(came("rogue"), /TLS, client: a certificate of an authority that the mesh does not trust/);
  assert.doesNotMatch(came("rogue"), /no certificate/);
  assert.match(came("simple"), /TLS, client: no certificate/);
});

test("explainInbound() tells what AUDIT and dry-run policies say", () => {
  const dry = authorization(
    "d",
    { action: "DENY", rules: [{}] },
    { annotations: { "istio.io/dry-run": "true" } },
  );
  assert.deepEqual(explainInbound(policyOf([dry]), connect(), get("/")), [
    "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
    "dry run: would be denied by AuthorizationPolicy foo/d rule 0",
  ]);
});

test("explainInbound() names the difference where semantics differ on an odd identity", () => {
  const rules = [{ from: [{ source: { namespaces: ["foo"] } }] }];
  const odd = connect({ principal: "cluster.local/ns/bar/sa/ns/foo/sa/sleep" });
  const lines = (semantics: "istio" | "strict") =>
    explainInbound(policyOf([authorization("a", { rules })], semantics), odd, get("/")).at(-1);
  assert.match(lines("istio") ?? "", /strict semantics would not/);
  assert.match(lines("strict") ?? "", /no rule about namespaces or accounts allows it/);
});

test("explainInbound() names the ALLOW rules that count for nothing on TCP", () => {
  const lines = explainInbound(policyOf([auditor]), fromAuditor, undefined);
  assert.equal(lines[0], "the connection is taken; each HTTP request on it is decided by itself");
  const database = connect({ principal: "cluster.local/ns/audit/sa/account-auditor", destinationPort: 9000 });
  assert.deepEqual(explainInbound(policyOf([auditor]), database, undefined), [
    "denied: ALLOW policies apply to the workload and none of their rules matches",
    "the ALLOW policies that apply have no rule that could match here",
    "rule 0 of AuthorizationPolicy foo/auditor-reads-accounts counts for nothing on a port that is decided as TCP: it asks for HTTP, or has a value that cannot be compiled",
    "rule 1 of AuthorizationPolicy foo/auditor-reads-accounts counts for nothing on a port that is decided as TCP: it asks for HTTP, or has a value that cannot be compiled",
  ]);
});
