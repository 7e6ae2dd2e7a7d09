/** What clients make of PeerAuthentication: https://istio.io/latest/docs/reference/config/security/peer_authentication/ */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { meshIndex } from "../../../src/policy/outbound/mesh-index.ts";
import { indexPeerMtls, type PeerMtls } from "../../../src/policy/outbound/peer-mtls.ts";
import { meshOf } from "./mesh-of.ts";

interface Policy {
  readonly mode?: string;
  readonly labels?: Record<string, string>;
  readonly ports?: Record<number, string>;
}

/** PeerAuthentications by namespace, oldest first. */
function index(...policies: (readonly [namespace: string, policy: Policy])[]): PeerMtls {
  const yaml = policies.map(([namespace, { mode, labels, ports }], place) =>
    JSON.stringify({
      apiVersion: "security.istio.io/v1",
      kind: "PeerAuthentication",
      metadata: { name: `p${place}`, namespace },
      spec: {
        ...(labels === undefined ? {} : { selector: { matchLabels: labels } }),
        ...(mode === undefined ? {} : { mtls: { mode } }),
        ...(ports === undefined
          ? {}
          : {
              portLevelMtls: Object.fromEntries(
                Object.entries(ports).map(([port, own]) => [port, { mode: own }]),
              ),
            }),
      },
    }),
  );
  return indexPeerMtls(meshOf(yaml.join("\n---\n")));
}

const ROOT = "istio-system";
const WEB = { app: "web", tier: "a" };

describe("namespaceMode()", () => {
  test("is PERMISSIVE where nothing is said", () => {
    assert.equal(index().namespaceMode("foo"), "PERMISSIVE");
    assert.equal(index().namespaceMode(ROOT), "PERMISSIVE");
  });

  test("is the namespace's, else the mesh's; UNSET and no mode inherit", () => {
    const modes = index(
      [ROOT, { mode: "STRICT" }],
      ["foo", { mode: "DISABLE" }],
      ["bar", { mode: "UNSET" }],
      ["baz", {}],
      ["qux", { mode: "PERMISSIVE" }],
      ["odd", { mode: "strict" }],
    );
    const of = ["foo", "bar", "baz", "qux", "odd", "other", ROOT].map((own) => modes.namespaceMode(own));
    assert.deepEqual(of, ["DISABLE", "STRICT", "STRICT", "PERMISSIVE", "STRICT", "STRICT", "STRICT"]);
  });

  test("is the oldest's of several", () => {
    assert.equal(
      index(["foo", { mode: "DISABLE" }], ["foo", { mode: "STRICT" }]).namespaceMode("foo"),
      "DISABLE",
    );
    assert.equal(
      index([ROOT, { mode: "STRICT" }], [ROOT, { mode: "DISABLE" }]).namespaceMode("foo"),
      "STRICT",
    );
  });

  test("is no matter of policies that select workloads; an empty selector selects none", () => {
    const modes = index(["foo", { mode: "STRICT", labels: WEB }], ["foo", { mode: "DISABLE", labels: {} }]);
    assert.equal(modes.namespaceMode("foo"), "DISABLE");
  });
});

describe("endpointMode()", () => {
  test("is the oldest's of those that select the workload, else the namespace's", () => {
    const modes = index(
      ["foo", { mode: "STRICT", labels: { app: "other" } }],
      ["foo", { mode: "DISABLE", labels: { app: "web" } }],
      ["foo", { mode: "STRICT", labels: WEB }],
      ["bar", { mode: "STRICT", labels: WEB }],
      [ROOT, { mode: "STRICT" }],
    );
    assert.equal(modes.endpointMode("foo", WEB, 80), "DISABLE");
    assert.equal(modes.endpointMode("foo", { app: "other" }, 80), "STRICT");
    assert.equal(modes.endpointMode("foo", {}, 80), "STRICT");
    assert.equal(modes.endpointMode("baz", WEB, 80), "STRICT");
  });

  test("of a port is the port's own, else the policy's, else inherited; UNSET inherits", () => {
    const ports = { 80: "DISABLE", 81: "UNSET" };
    const own = index([ROOT, { mode: "DISABLE" }], ["foo", { mode: "STRICT", labels: WEB, ports }]);
    assert.deepEqual(
      [80, 81, 82].map((port) => own.endpointMode("foo", WEB, port)),
      ["DISABLE", "STRICT", "STRICT"],
    );
    const unset = index([ROOT, { mode: "STRICT" }], ["foo", { labels: WEB, ports }]);
    assert.deepEqual(
      [80, 81, 82].map((port) => unset.endpointMode("foo", WEB, port)),
      ["DISABLE", "STRICT", "STRICT"],
    );
  });

  test("is no matter of the ports of a policy without selector, nor of one that selects in the root namespace", () => {
    const portwise = index(["foo", { mode: "STRICT", ports: { 80: "DISABLE" } }]);
    assert.equal(portwise.endpointMode("foo", WEB, 80), "STRICT");
    const rooted = index([ROOT, { mode: "DISABLE", labels: WEB }]);
    assert.equal(rooted.endpointMode("foo", WEB, 80), "PERMISSIVE");
    assert.equal(rooted.endpointMode(ROOT, WEB, 80), "PERMISSIVE");
  });
});

test("meshIndex() is made once for each mesh", () => {
  const mesh = meshOf("");
  assert.equal(meshIndex(mesh), meshIndex(mesh));
  assert.notEqual(meshIndex(mesh), meshIndex(meshOf("")));
  assert.equal(meshIndex(mesh).mesh, mesh);
});
