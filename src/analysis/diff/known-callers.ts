/** The identities that workloads have, to tell who a region is about, and to write requests that somebody could really make. */
import type { Mesh } from "../../model/mesh.ts";
import type { Dimension } from "../space/dimension.ts";
import type { Region } from "../space/regions.ts";
import { type Point, type SampleRequest, sampleOf } from "../space/request-space.ts";

export class KnownCallers {
  /** Without `spiffe://`, each once. */
  readonly #principals: readonly string[];

  constructor(meshes: readonly Mesh[]) {
    const ids = meshes.flatMap(({ workloads }) => workloads.map(({ spiffeId }) => spiffeId));
    this.#principals = [...new Set(ids)].map((id) => id.slice("spiffe://".length)).sort();
  }

  /** Those of the region; all, where it names no identities. */
  in(dimensions: readonly Dimension[], region: Region): readonly string[] {
    const place = dimensions.findIndex(({ kind }) => kind === "identity");
    const dimension = dimensions[place];
    const cells = region.get(place);
    if (dimension?.kind !== "identity" || cells === undefined) return this.#principals;
    const isIn = (principal: string): boolean => {
      const cell = dimension.texts.cellOf(`spiffe://${principal}`);
      return cell !== undefined && cells.has(cell + 1);
    };
    return this.#principals.filter(isIn);
  }

  /** A request of the point, from a workload that there is, where one has an identity of that cell. */
  settle(dimensions: readonly Dimension[], point: Point): SampleRequest {
    const sample = sampleOf(dimensions, point);
    const place = dimensions.findIndex(({ kind }) => kind === "identity");
    const dimension = dimensions[place];
    const cell = point[place] ?? 0;
    if (dimension?.kind !== "identity" || cell === 0 || dimension.texts.cells[cell - 1]?.only !== undefined)
      return sample;
    const principal = this.#principals.find((own) => dimension.texts.cellOf(`spiffe://${own}`) === cell - 1);
    return principal === undefined ? sample : { ...sample, principal };
  }
}
