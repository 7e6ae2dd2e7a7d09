import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { libc } from "../../dataplane/capture/libc.ts";

import { whyNotRunnable } from "./program-folder.ts";

const run = promisify(execFile);

/** Programs that the scripts use, with the Debian package that has each. */
const PROGRAMS: Readonly<Record<string, string>> = {
  ip: "iproute2",
  nft: "nftables",
  nsenter: "util-linux",
  unshare: "util-linux",
  setpriv: "util-linux",
  mount: "mount",
};

/** Everything that a pod's namespaces need, in namespaces that end with this script. */
const TRIAL = `
set -eu
unshare --user --net true
unshare --net sh -euc '
  ip link set lo up
  ip link add probe type veth peer name probe2
  echo "table inet probe {
    set seen { type ifname . ipv4_addr; flags dynamic,timeout; timeout 1s; }
    chain out { type nat hook output priority -100; meta l4proto tcp redirect to :1; }
  }" | nft -f -
'
unshare --mount mount -t tmpfs tmpfs /run
`;

/** Why pods cannot be network namespaces on this machine; undefined when they can. */
export async function whyNoNetns(): Promise<string | undefined> {
  if (process.platform !== "linux") return "network namespaces are Linux's";
  if (process.getuid?.() !== 0) return "it needs root (namespaces, nftables and other users' processes)";
  try {
    libc();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  const unreadable = whyNotRunnable();
  if (unreadable !== undefined) return unreadable;
  for (const [program, debianPackage] of Object.entries(PROGRAMS))
    if (!(await isThere(program))) return `\`${program}\` is not installed (Debian: ${debianPackage})`;
  try {
    await run("/bin/sh", ["-c", TRIAL], { timeout: 20_000 });
  } catch (error) {
    return `this system does not let them be made: ${(error as { stderr?: string }).stderr?.trim() || String(error)}`;
  }
  return undefined;
}

async function isThere(program: string): Promise<boolean> {
  try {
    await run("/bin/sh", ["-c", `command -v ${program}`]);
    return true;
  } catch {
    return false;
  }
}
