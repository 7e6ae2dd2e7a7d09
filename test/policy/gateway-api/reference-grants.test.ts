/** Which references a ReferenceGrant allows: its own namespace's, from whom and to what it says, and nothing else. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { referenceGrants } from "../../../src/policy/gateway-api/reference-grants.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { gatewayMesh, gatewayResource } from "./gateway-mesh.ts";

const GROUP = "gateway.networking.k8s.io";
const FROM = { group: GROUP, kind: "HTTPRoute", namespace: "foo" };
const TO = { group: "", kind: "Service" };
const grant = (
  spec: unknown,
  rest: { namespace?: string; apiVersion?: string; kind?: string } = {},
): Resource => gatewayResource(rest.kind ?? "ReferenceGrant", "g", spec, { namespace: "bar", ...rest });

function isAllowed(grants: readonly Resource[], namespace = "bar"): boolean {
  const target = { group: "", kind: "Service", namespace, name: "web" };
  return referenceGrants(gatewayMesh(...grants))(gatewayResource("HTTPRoute", "r", {}), target);
}

describe("a route of foo may use Service bar/web", () => {
  for (const [expected, why, spec] of [
    [true, "with a grant for all Services", { from: [FROM], to: [TO] }],
    [true, "with a grant in which the group is left out", { from: [FROM], to: [{ kind: "Service" }] }],
    [true, "with a grant for its name", { from: [FROM], to: [{ ...TO, name: "web" }] }],
    [true, "with a grant for no name", { from: [FROM], to: [{ ...TO, name: "" }] }],
    [
      true,
      "with one entry of several",
      { from: [{ ...FROM, kind: "x" }, FROM], to: [{ ...TO, kind: "x" }, TO] },
    ],
    [false, "for another name", { from: [FROM], to: [{ ...TO, name: "other" }] }],
    [false, "for another kind", { from: [FROM], to: [{ ...TO, kind: "Secret" }] }],
    [false, "for another group", { from: [FROM], to: [{ ...TO, group: "other" }] }],
    [false, "from another kind", { from: [{ ...FROM, kind: "GRPCRoute" }], to: [TO] }],
    [false, "from another namespace", { from: [{ ...FROM, namespace: "bar" }], to: [TO] }],
    [false, "from another group", { from: [{ ...FROM, group: "other" }], to: [TO] }],
    [false, "from no group", { from: [{ kind: "HTTPRoute", namespace: "foo" }], to: [TO] }],
    [false, "to nothing", { from: [FROM] }],
    [false, "from nobody", { to: [TO] }],
  ] as const)
    test(`${why}: ${expected}`, () => assert.equal(isAllowed([grant(spec)]), expected));

  const spec = { from: [FROM], to: [TO] };
  test("not with a grant in another namespace, and not with another kind of resource", () => {
    assert.ok(!isAllowed([grant(spec, { namespace: "foo" })]));
    assert.ok(!isAllowed([grant(spec, { kind: "Other" })]));
    assert.ok(!isAllowed([grant(spec, { apiVersion: "example.com/v1" })]));
    assert.ok(!isAllowed([grant(spec, { kind: "Other", apiVersion: "example.com/v1" })]));
    assert.ok(!isAllowed([]));
  });

  test("with one of several grants, of any version", () => {
    const beta = { apiVersion: `${GROUP}/v1beta1` };
    assert.ok(isAllowed([grant({ from: [FROM], to: [] }), grant(spec, beta)]));
  });

  test("within its own namespace it always may", () => assert.ok(isAllowed([], "foo")));
});
