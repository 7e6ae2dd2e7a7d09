/** Running pods of which the files do not show whether they were injected: the two sides of a decision must not differ about that. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { LoadedMesh } from "../../../src/index.ts";
import { authorizationText, journey, namespaceText, podText, serviceText } from "./journey-text.ts";
import { meshFrom } from "./mesh-text.ts";

const INJECTED = { "istio-injection": "enabled" };
const DENIED = authorizationText("b", "d", {
  action: "DENY",
  rules: [{ from: [{ source: { principals: ["cluster.local/ns/a/sa/c"] } }] }],
});

function unlabelled(namespace: string, name: string, ip: string): string {
  return podText(namespace, name, { ip }).replace(',"security.istio.io/tlsMode":"istio"', "");
}

function world(labels: Readonly<Record<string, string>>, more = ""): Promise<LoadedMesh> {
  return meshFrom(
    namespaceText("a", labels) + namespaceText("b", labels) + unlabelled("a", "c", "10.1.0.1"),
    unlabelled("b", "o", "10.1.0.2") + serviceText("b", "o") + DENIED + more,
  );
}

/** How client a/c comes out at service o.b. */
async function outcome({ mesh }: LoadedMesh): Promise<string | undefined> {
  const request = {
    id: "r",
    from: { workload: "a/c" },
    to: { service: "o.b", port: 80 },
    protocol: "http",
    path: "/x",
  } as const;
  const { ways } = await journey(mesh, request);
  return ways[0]?.steps.at(-1);
}

const REFUSED = "b/o server refused 403 rbac/deny-matched at authorization, by AuthorizationPolicy b/d #0";
const CODE = "BW1514_SIDECAR_NOT_SHOWN";
const shown = ({ warnings }: LoadedMesh): readonly string[] =>
  warnings.filter(({ code }) => code === CODE).map(({ resource }) => resource ?? "");

test("a running pod without the injector's label is injected for its clients, too, where its namespace asks for it", async () => {
  const mesh = await world(INJECTED);
  assert.equal(await outcome(mesh), REFUSED);
  assert.deepEqual(shown(mesh), []);
});

test("so it is where nothing asks for a proxy and no running pod has the label", async () => {
  const mesh = await world({});
  assert.equal(await outcome(mesh), REFUSED);
  assert.deepEqual(shown(mesh), []);
});

test("in a record of a cluster a pod that its namespace injects is taken to be injected, and warned of", async () => {
  const mesh = await world(INJECTED, podText("b", "labelled", { ip: "10.1.0.3" }));
  assert.equal(await outcome(mesh), REFUSED);
  assert.equal(shown(mesh).length, 2);
});

test("in a record of a cluster where nothing asks for a proxy clients believe the label alone, and that is warned of", async () => {
  const mesh = await world({}, podText("b", "labelled", { ip: "10.1.0.3" }));
  assert.match((await outcome(mesh)) ?? "", /^b\/o server allowed 200/);
  assert.equal(shown(mesh).length, 2);
});

test("a template with the label is no record of a cluster", async () => {
  const mesh = await world({}, podText("b", "labelled"));
  assert.equal(await outcome(mesh), REFUSED);
  assert.deepEqual(shown(mesh), []);
});

test("a pod that says itself that it has none is spoken to in clear, and not warned of", async () => {
  const { mesh, warnings } = await meshFrom(
    namespaceText("a", INJECTED) + namespaceText("b", INJECTED) + podText("a", "c", { ip: "10.1.0.1" }),
    podText("b", "o", { ip: "10.1.0.2", labels: { "sidecar.istio.io/inject": "false" } }).replace(
      ',"security.istio.io/tlsMode":"istio"',
      "",
    ) + serviceText("b", "o"),
  );
  assert.equal(mesh.workloads.find(({ key }) => key === "b/o")?.tlsMode, "disabled");
  assert.deepEqual(
    warnings.filter(({ code }) => code === CODE),
    [],
  );
});
