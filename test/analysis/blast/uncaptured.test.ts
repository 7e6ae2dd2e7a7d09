/** Ports that the sidecar does not capture: whoever may connect is let in, whatever policies name. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { BlastModel } from "../../../src/analysis/blast/radius.ts";
import { namesIn } from "../../../src/analysis/blast/report.ts";
import { buildMesh } from "../../../src/model/build-mesh.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { resourceFromJson } from "../../../src/resources/wire.ts";

/** Two pods behind sidecars; the second lets nobody but an account that no pod has in, and leaves a port out of the capture. */
function meshWith(excluded: string): readonly Resource[] {
  const object = (
    apiVersion: string,
    kind: string,
    name: string,
    metadata: Readonly<Record<string, unknown>>,
    spec?: object,
  ): Resource =>
    resourceFromJson(
      { apiVersion, kind, metadata: { name, ...metadata }, spec },
      { file: "test", createdAt: 0 },
    );
  const pod = (name: string, annotations: Readonly<Record<string, string>>): Resource =>
    object(
      "v1",
      "Pod",
      name,
      { namespace: "a", labels: { app: name }, annotations },
      {
        serviceAccountName: name,
        containers: [{ name: "c", image: "i", ports: [{ containerPort: 8080 }, { containerPort: 9090 }] }],
      },
    );
  return [
    object("v1", "Namespace", "a", { labels: { "istio-injection": "enabled" } }),
    object(
      "security.istio.io/v1",
      "PeerAuthentication",
      "default",
      { namespace: "a" },
      {
        mtls: { mode: "STRICT" },
      },
    ),
    pod("thief", {}),
    pod("victim", { "traffic.sidecar.istio.io/excludeInboundPorts": excluded }),
    object(
      "security.istio.io/v1",
      "AuthorizationPolicy",
      "friends",
      { namespace: "a" },
      {
        selector: { matchLabels: { app: "victim" } },
        rules: [{ from: [{ source: { principals: ["cluster.local/ns/a/sa/friend"] } }] }],
      },
    ),
  ];
}

test("a port that is left out of the capture is open to everybody, also where policies name their callers", () => {
  const reached = (excluded: string, semantics: "istio" | "strict"): readonly string[] => {
    const model = new BlastModel(buildMesh(meshWith(excluded)), semantics);
    return namesIn(model, model.radiusOf("workload/a/thief").reached);
  };
  assert.deepEqual(reached("9090", "istio"), ["a/victim"]);
  assert.deepEqual(reached("", "istio"), []);
  // Bulwark's own proxies capture every port.
  assert.deepEqual(reached("9090", "strict"), []);
});
