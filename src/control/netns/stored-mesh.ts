import { buildMesh } from "../../model/build-mesh.ts";
import type { Mesh } from "../../model/mesh.ts";
import { fromWire, type WireResource } from "../../resources/wire.ts";
import { readJson, type StateFolder } from "../state-folder.ts";

/** The mesh of the configuration in force, as control has written it down. */
export function storedMesh({ configuration }: StateFolder): Mesh {
  const stored = readJson(configuration) as { resources?: readonly WireResource[] } | undefined;
  return buildMesh(fromWire(stored?.resources ?? []));
}
