/** Which Secrets a proxy is given: those that it ends or opens TLS with, and no other. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { secretsUsedBy } from "../../../src/policy/outbound/credential-use.ts";
import { gateway, gatewayMesh } from "./gateway-fixture.ts";
import { workloadOf } from "./mesh-of.ts";

function used(yaml: string, key = "edge/gw"): string[] {
  const mesh = gatewayMesh(yaml);
  return [...secretsUsedBy(mesh, workloadOf(mesh, key))].sort();
}

function rule(spec: string, namespace = "edge"): string {
  return `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: r, namespace: ${namespace}}
spec: ${spec}
---
`;
}

const server = (host: string, tls: string, protocol = "TLS"): string =>
  `{port: {number: 443, name: ${host}, protocol: ${protocol}}, hosts: [${host}], tls: ${tls}}`;

describe("a gateway", () => {
  test("uses the credentials of its servers, with their roots", () => {
    const servers = [
      server("a", "{mode: SIMPLE, credentialName: one}"),
      server("b", "{mode: MUTUAL, credentialNames: [two, three], caCertCredentialName: roots}", "HTTPS"),
      server("c", "{mode: PASSTHROUGH}"),
      "{port: {number: 9000, name: d, protocol: TCP}, hosts: [d]}",
    ];
    assert.deepEqual(used(gateway(`[${servers.join(", ")}]`)), [
      "edge/one",
      "edge/one-cacert",
      "edge/roots",
      "edge/three",
      "edge/three-cacert",
      "edge/two",
      "edge/two-cacert",
    ]);
    assert.deepEqual(used(""), []);
  });

  test("uses none of Gateways that are not its own, nor does a workload that is no gateway", () => {
    const other = gateway(`[${server("a", "{mode: SIMPLE, credentialName: one}")}]`);
    assert.deepEqual(used(other.replace("{app: gw}", "{app: other}")), []);
    assert.deepEqual(used(other.replace("{app: gw}", "{}"), "foo/web"), []);
  });

  test("uses those of every rule without a selector, whole, by subset and by port; names are its namespace's", () => {
    const tls = (credentialName: string): string =>
      `tls: {mode: SIMPLE, credentialName: "${credentialName}"}`;
    const spec = `{host: x, trafficPolicy: {${tls("a")}, portLevelSettings: [{port: {number: 1}, ${tls("b")}}, {port: {number: 2}}]}, subsets: [{name: s}, {name: t, trafficPolicy: {${tls("c")}, portLevelSettings: [{${tls("d")}}]}}]}`;
    const whole = ["a", "b", "c", "d"].flatMap((name) => [`edge/${name}`, `edge/${name}-cacert`]);
    assert.deepEqual(used(rule(spec)), whole);
    assert.deepEqual(used(rule(`{host: x, trafficPolicy: {${tls("")}}}`)), []);
    assert.deepEqual(used(rule("{host: x, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}")), []);
    assert.deepEqual(used(rule("{host: x}")), []);
    assert.deepEqual(used(rule(`{host: x, trafficPolicy: {${tls("foo/a")}}}`)), [
      "edge/foo/a",
      "edge/foo/a-cacert",
    ]);
  });
});

describe("a sidecar", () => {
  const spec = (selector: string): string =>
    `{host: x, ${selector}trafficPolicy: {tls: {mode: SIMPLE, credentialName: a}}}`;

  test("uses those of rules that select it, and of no others", () => {
    const own = ["foo/a", "foo/a-cacert"];
    assert.deepEqual(
      used(rule(spec("workloadSelector: {matchLabels: {app: web}}, "), "foo"), "foo/web"),
      own,
    );
    assert.deepEqual(
      used(rule(spec("workloadSelector: {matchLabels: {app: other}}, "), "foo"), "foo/web"),
      [],
    );
    assert.deepEqual(used(rule(spec(""), "foo"), "foo/web"), []);
    assert.deepEqual(used(rule(spec("workloadSelector: {}, "), "foo"), "foo/web"), own);
  });

  test("is not selected by rules of other namespaces: they cannot have it given a Secret", () => {
    assert.deepEqual(used(rule(spec("workloadSelector: {matchLabels: {app: web}}, "), "bar"), "foo/web"), []);
  });

  test("of a gateway's pod is the gateway's: a selector has to select it, too", () => {
    assert.deepEqual(used(rule(spec("workloadSelector: {matchLabels: {app: gw}}, "))), [
      "edge/a",
      "edge/a-cacert",
    ]);
    assert.deepEqual(used(rule(spec("workloadSelector: {matchLabels: {app: web}}, "))), []);
  });
});
