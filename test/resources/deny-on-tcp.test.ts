/** What a DENY rule with HTTP attributes does to plain TCP, as the warning about it says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadText } from "./load-fixture.ts";

async function warned(
  rule: string,
  { spec = "", annotations = "", action = "DENY" } = {},
): Promise<readonly string[]> {
  const text = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, annotations: {${annotations}}}
spec: {action: ${action}, ${spec} rules: [${rule}]}
`;
  const { resources, rejected, diagnostics } = await loadText(text);
  assert.deepEqual([resources.length, rejected], [1, []]);
  return diagnostics.filter(({ code }) => code === "BW1302_DENY_HITS_TCP").map(({ message }) => message);
}

const POST = "to: [{operation: {methods: [POST]}}]";
const ALL = [
  "`spec.rules[0]` has only HTTP attributes: behind a sidecar it denies all traffic on TCP ports; at a ztunnel it never matches",
];
const only = (what: string): readonly string[] => [
  `of \`spec.rules[0]\` only ${what} on TCP ports behind a sidecar: what matches that is denied there; at a ztunnel it never matches`,
];

test("a rule of HTTP attributes denies all TCP", async () => {
  assert.deepEqual(await warned(`{${POST}}`), ALL);
  assert.deepEqual(await warned("{from: [{source: {requestPrincipals: [a]}}]}"), ALL);
  assert.deepEqual(await warned(`{from: [{source: {requestPrincipals: [a]}}], ${POST}}`), ALL);
  assert.deepEqual(
    await warned(`{from: [{source: {namespaces: [a]}}, {source: {requestPrincipals: [a]}}], ${POST}}`),
    ALL,
  );
  assert.deepEqual(await warned(`{${POST}, when: [{key: "request.headers[a]", values: [b]}]}`), ALL);
});

test("callers that TCP knows, too, are the only ones that are denied it", async () => {
  for (const source of ["namespaces: [a]", "principals: [a/b]", "ipBlocks: [10.0.0.0/8]"])
    assert.deepEqual(await warned(`{from: [{source: {${source}}}], ${POST}}`), only("`from` counts"));
  const when = "when: [{key: source.namespace, values: [a]}]";
  assert.deepEqual(await warned(`{${POST}, ${when}}`), only("`when` counts"));
  assert.deepEqual(
    await warned(`{from: [{source: {namespaces: [a]}}], ${POST}, ${when}}`),
    only("`from` and `when` count"),
  );
});

test("nothing is said of rules with ports, of other actions, of policies on trial, of a waypoint's Services", async () => {
  assert.deepEqual(await warned('{to: [{operation: {methods: [POST], ports: ["80"]}}]}'), []);
  assert.deepEqual(await warned(`{${POST}}`, { action: "ALLOW" }), []);
  assert.deepEqual(await warned(`{${POST}}`, { annotations: 'istio.io/dry-run: "true"' }), []);
  assert.deepEqual(await warned(`{${POST}}`, { annotations: 'istio.io/dry-run: "false"' }), ALL);
  const target = (kind: string, group: string): string =>
    `targetRefs: [{kind: ${kind}, group: ${group}, name: x}],`;
  assert.deepEqual(await warned(`{${POST}}`, { spec: target("Service", '""') }), []);
  assert.deepEqual(await warned(`{${POST}}`, { spec: target("Gateway", "gateway.networking.k8s.io") }), ALL);
});
