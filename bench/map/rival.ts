/** The netpol-analyzer that `map` is measured beside: whoever runs this has one, or Go builds it once. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";

/** The commit that docs/map.md compares answers with. */
const MODULE = "github.com/np-guard/netpol-analyzer/cmd/netpolicy@e54a3343";
/** go install names a program after its folder. */
const PROGRAM = "netpolicy";
const BUILD_TIMEOUT_MS = 600_000;

export interface Rival {
  /** Undefined: there is none. */
  readonly program?: string;
  /** Where it comes from, or what is missing, in a line. */
  readonly told: string;
}

/** @param named by `--rival`. */
export function findRival(named: string | undefined): Rival {
  if (named !== undefined) return { program: named, told: `rival: ${named}` };
  const folder = resolve(import.meta.dirname, "../../.cache/bench/netpol-analyzer");
  const program = join(folder, PROGRAM);
  if (existsSync(program)) return { program, told: `rival: ${program}` };
  mkdirSync(folder, { recursive: true });
  const { status, stderr, error } = spawnSync("go", ["install", MODULE], {
    env: { ...process.env, GOBIN: folder, CGO_ENABLED: "0" },
    encoding: "utf8",
    timeout: BUILD_TIMEOUT_MS,
  });
  if (status === 0) return { program, told: `rival: built from ${MODULE}` };
  const why = error?.message ?? stderr.trim().split("\n")[0] ?? "";
  return {
    told:
      `no rival: \`go install ${MODULE}\` fails here (${why}).\n` +
      "  Build netpol-analyzer from its repository (`go build ./cmd/netpolicy`), and name the program: --rival PROGRAM",
  };
}
