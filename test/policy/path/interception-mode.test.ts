/** Sidecars that nothing leads connections to. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { authorizationText, journey, podText, serviceText } from "./journey-text.ts";
import { meshFrom } from "./mesh-text.ts";

const MODE = "sidecar.istio.io/interceptionMode";
const mode = (value: string) => ({ annotations: { [MODE]: value } });
const MESH_DEFAULT = `---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: "defaultConfig: {interceptionMode: NONE}"
`;

async function ask(client: object, server: object, more = ""): Promise<string> {
  const deny = authorizationText("b", "d", { action: "DENY", rules: [{}] });
  const pods = podText("a", "c", client) + podText("b", "o", server) + serviceText("b", "o");
  const { mesh } = await meshFrom(pods + deny + more);
  const from = { workload: "a/c" };
  const { ways } = await journey(mesh, {
    id: "r",
    from,
    to: { service: "o.b", port: 80 },
    protocol: "http",
    path: "/",
  });
  assert.equal(ways.length, 1);
  return ways[0]?.steps.at(-1) ?? "";
}

test("interceptionMode NONE of the client or the server is not decided, and never allowed", async () => {
  assert.match(await ask({}, mode("NONE")), /^b\/o server refused \d+ unknown\/interception-unknown/);
  assert.match(await ask(mode("NONE"), {}), /^a\/c client refused \d+ unknown\/interception-unknown/);
});

test("other modes are decided", async () => {
  for (const value of ["REDIRECT", "TPROXY"])
    assert.match(await ask(mode(value), mode(value)), /^b\/o server refused 403 rbac\/deny-matched/);
});

test("the mesh's default counts where the pod says nothing", async () => {
  assert.match(await ask(mode("REDIRECT"), {}, MESH_DEFAULT), /^b\/o server refused \d+ unknown/);
  assert.match(await ask(mode("REDIRECT"), mode("REDIRECT"), MESH_DEFAULT), /rbac\/deny-matched/);
});
