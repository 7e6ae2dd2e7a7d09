import { registerHooks } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const OWN = `${pathToFileURL(resolve(import.meta.dirname, "..")).href}/`;

/**
 * Our own files import each other by whole relative names: what such a name means is put together, not looked for. A sixth less processor time for each
 * process of a mesh to start (206 to 172 ms), most of which goes into resolving and linking some 350 files.
 */
export function resolveOwnFiles(): void {
  registerHooks({
    resolve(specifier, context, nextResolve) {
      const { parentURL } = context;
      if (!specifier.startsWith(".") || !specifier.endsWith(".ts") || parentURL?.startsWith(OWN) !== true)
        return nextResolve(specifier, context);
      return { url: new URL(specifier, parentURL).href, format: "module-typescript", shortCircuit: true };
    },
  });
}
