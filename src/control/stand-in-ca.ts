import { readFileSync } from "node:fs";
import { join } from "node:path";
import { STAND_IN_CA_FILE } from "../substrate/stand-in-authority.ts";
import type { StateFolder } from "./state-folder.ts";

/** The stand-ins' process makes it at its start; until it is there proxies trust only the system's roots. */
export function standInCa(state: StateFolder): string | null {
  try {
    return readFileSync(join(state.standInFolder, STAND_IN_CA_FILE), "utf8");
  } catch {
    return null;
  }
}
