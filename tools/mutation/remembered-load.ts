/** Stands in for src/resources/load.ts under mutation: recorded meshes never change, so each is parsed once a process. */
import { loadResources as loadAnew } from "../../src/resources/load.ts";

const remembered = new Map<string, ReturnType<typeof loadAnew>>();

export const loadResources: typeof loadAnew = (sources) => {
  const key = sources.join("\n");
  if (!sources.every((source) => source.includes("/shared/corpus"))) return loadAnew(sources);
  const made = remembered.get(key) ?? loadAnew(sources);
  remembered.set(key, made);
  return made;
};
