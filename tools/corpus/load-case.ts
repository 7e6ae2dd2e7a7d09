import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { admitPods } from "../../src/model/admit-pods.ts";
import { buildMesh } from "../../src/model/build-mesh.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import { loadResources } from "../../src/resources/load.ts";

export interface RejectedName {
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
}

export interface LoadedCase<Request, Decision> {
  readonly mesh: Mesh;
  readonly requests: readonly Request[];
  readonly decisions: readonly Decision[];
  /** What real Istio rejected. */
  readonly expectedRejected: readonly RejectedName[];
  /** What our loader rejected. */
  readonly rejected: readonly RejectedName[];
}

/** Reads `mesh.yaml`, `requests.json` and `expected.json` of one case. */
export async function loadCase<Request, Decision>(folder: string): Promise<LoadedCase<Request, Decision>> {
  const { requests } = await readJson<{ requests: Request[] }>(join(folder, "requests.json"));
  const expected = await readJson<{ decisions: Decision[]; rejected?: RejectedName[] }>(
    join(folder, "expected.json"),
  );
  const expectedRejected = expected.rejected ?? [];
  const loaded = await loadResources([join(folder, "mesh.yaml")]);
  const admitted = admitPods(loaded.resources);
  const mesh = buildMesh(admitted.resources);
  const rejected = [...loaded.rejected, ...admitted.rejected];
  return { mesh, requests, decisions: expected.decisions, expectedRejected, rejected };
}

async function readJson<T>(file: string): Promise<T> {
  return JSON.parse(await readFile(file, "utf8")) as T;
}
