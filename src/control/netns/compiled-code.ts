import { execFile } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { getCompileCacheDir } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";
import { PROXY_UID } from "../../dataplane/capture/captured-ports.ts";
import { hiddenProgramFolder, inPodPath, PROGRAM_IN_POD } from "../../substrate/netns/program-folder.ts";
import type { ChildProgram } from "../child-specs.ts";

const run = promisify(execFile);
const WARM_UP_TIMEOUT_MS = 60_000;

/**
 * Gives proxies in pods their compiled code: 0.3 s and 20 MB less for each. Node keeps it by uid, and pods must not be able to
 * change what others run: so it is compiled here, by root under the proxies' number, and they may only read it. Without it
 * they start all the same.
 */
export async function shareCompiledCode({ command, args, env = {} }: ChildProgram): Promise<void> {
  const own = getCompileCacheDir();
  const shared = own?.replace(/-\d+$/, `-${PROXY_UID}`);
  if (own === undefined || shared === undefined || shared === own) return;
  try {
    mkdirSync(shared, { recursive: true });
    // What proxies have compiled as they ran is worth more than what loading them compiles.
    for (const name of readdirSync(own)) copyIfNewer(join(own, name), join(shared, name));
    const asProxy = [
      "--user",
      `--map-user=${PROXY_UID}`,
      `--map-group=${PROXY_UID}`,
      "--",
      inPodPath(command),
    ];
    const [program = "", ...words] = whereProxiesSeeIt([
      "unshare",
      ...asProxy,
      ...args.map(inPodPath),
      "warm-up",
    ]);
    const seen = Object.entries(env).map(([name, value]) => [name, inPodPath(value)]);
    await run(program, words, {
      env: { ...process.env, ...Object.fromEntries(seen), PROGRAM: hiddenProgramFolder() ?? "" },
      timeout: WARM_UP_TIMEOUT_MS,
    });
    for (const name of readdirSync(shared)) chmodSync(join(shared, name), 0o644);
    chmodSync(shared, 0o755);
  } catch {
    // A folder that cannot be written, or code that is being replaced: only time is lost.
  }
}

/** Node keeps what it has compiled by the file's name, which is another in pods where they cannot get to the program by its own. */
function whereProxiesSeeIt(command: readonly string[]): readonly string[] {
  if (hiddenProgramFolder() === undefined) return command;
  return ["unshare", "--mount", "--", "/bin/sh", "-euc", MOUNTED, "sh", ...command];
}

/** Held open: `/run` may cover the way to it. */
const MOUNTED = `
exec 8<"$PROGRAM"
mount -t tmpfs -o mode=755,size=1m,nosuid,nodev tmpfs /run
mkdir ${PROGRAM_IN_POD}
mount -n -c --bind /proc/self/fd/8 ${PROGRAM_IN_POD}
exec 8<&-
exec "$@"
`;

function copyIfNewer(from: string, to: string): void {
  const there = statSync(to, { throwIfNoEntry: false });
  if (there === undefined || there.mtimeMs < statSync(from).mtimeMs) copyFileSync(from, to);
}
