/** One workload (foo/httpbin, whose ports are 8080, 9000 and 7000) as its node's ztunnel sees it. */
import { findWorkload } from "../../../src/model/build-mesh.ts";
import type { Mesh, Workload } from "../../../src/model/mesh.ts";
import { type AmbientPolicy, compileAmbient } from "../../../src/policy/ambient/ambient-policy.ts";
import type { Semantics } from "../../../src/policy/inbound.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { meshOf } from "../inbound-fixture.ts";

export function workloadIn(mesh: Mesh): Workload {
  const workload = findWorkload(mesh, "foo/httpbin");
  if (workload === undefined) throw new Error("BUG: the fixture has no workload");
  return workload;
}

export function ambientOf(resources: readonly Resource[], semantics: Semantics = "istio"): AmbientPolicy {
  const mesh = meshOf(...resources);
  return compileAmbient(mesh, workloadIn(mesh), { semantics });
}
