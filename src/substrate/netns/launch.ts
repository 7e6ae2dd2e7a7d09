import { PROXY_UID } from "../../dataplane/capture/captured-ports.ts";
import type { PodNetwork } from "../assignment.ts";
import { NETNS_FOLDER } from "./names.ts";
import { hiddenProgramFolder, inPodPath } from "./program-folder.ts";
import { userNamespaceFile } from "./scripts.ts";

/** What a pod's processes see of the machine's files in another form; all on the machine. */
export interface PodFiles {
  readonly resolvConf: string;
  readonly hosts: string;
  /** System roots and the stand-ins' own; absent without stand-ins. */
  readonly rootCertificates?: string;
  /** An empty folder: what comes to lie on `/run`, so that no socket of the machine's is in reach. */
  readonly run: string;
  /** The pod's own in the place of each of `PRIVATE_FOLDERS`. */
  readonly private: readonly string[];
  /** For the proxy alone: what it finds at {@link PROXY_STATE}. */
  readonly proxyState: string;
  /** For the proxy alone: the folder of control's socket. */
  readonly controlFolder: string;
}

/** Where a proxy in its pod finds its own part of the state folder. */
export const PROXY_STATE = "/run/bulwark";

/** `root`: of the pod, whose rights end at its namespace. */
export type PodUser = "proxy" | "application" | "root";

/**
 * As the machine's root: enter the network, take a mount namespace in which the pod's files lie over the machine's, and only
 * then become one of the pod's users. What was mounted cannot be undone from inside. All of it is one process by `exec`, so
 * that its number and start are known from the beginning.
 */
const ENTER = `
exec 9<"$USERNS"
[ ! -e /etc/resolv.conf ] || mount --bind "$RESOLV" /etc/resolv.conf
[ ! -e /etc/hosts ] || mount --bind "$HOSTS" /etc/hosts
[ -z "$ROOTS" ] || [ ! -e /etc/ssl/certs/ca-certificates.crt ] || mount --bind "$ROOTS" /etc/ssl/certs/ca-certificates.crt
mount -t tmpfs -o mode=755,size=1m,nosuid,nodev tmpfs "$RUN"
if [ -n "$VIEW" ]; then
  mkdir "$RUN/bulwark"
  mount --bind "$VIEW" "$RUN/bulwark"
  mount --bind "$CONTROL" "$RUN/bulwark/control"
fi
if [ -n "$PROGRAM" ]; then
  mkdir "$RUN/program"
  mount --bind "$PROGRAM" "$RUN/program"
fi
mount --rbind "$RUN" /run
# Held open: one of them may cover the way to the next.
exec 6<"$TMP" 7<"$VAR_TMP" 8<"$SHM"
mount -n -c --bind /proc/self/fd/6 /tmp
[ ! -d /var/tmp ] || mount -n -c --bind /proc/self/fd/7 /var/tmp
[ ! -d /dev/shm ] || mount -n -c --bind /proc/self/fd/8 /dev/shm
unset USERNS RESOLV HOSTS ROOTS RUN VIEW CONTROL PROGRAM TMP VAR_TMP SHM
exec nsenter --user=/proc/self/fd/9 -- setpriv $PRIVILEGES -- /bin/sh -c 'exec 6<&- 7<&- 8<&- 9<&-; unset PRIVILEGES; exec "$@"' sh "$@"
`;

/** How a command is run in a pod, from outside, by root. The environment is the caller's to give, with {@link Launch.env} added. */
export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export interface LaunchOptions {
  /** Whether it finds this program at its place (program-folder.ts) where it could not get to it by its path. Default: the proxy does. */
  readonly withProgram?: boolean;
}

export function launchInPod(
  network: PodNetwork,
  files: PodFiles,
  user: PodUser,
  command: string,
  args: readonly string[],
  { withProgram = user === "proxy" }: LaunchOptions = {},
): Launch {
  const isProxy = user === "proxy";
  const [tmp = "", varTmp = "", shm = ""] = files.private;
  return {
    command: "nsenter",
    args: [
      `--net=${NETNS_FOLDER}/${network.namespace}`,
      "--",
      "unshare",
      "--mount",
      "--",
      "/bin/sh",
      "-euc",
      ENTER,
      "sh",
      ...[command, ...args].map(isProxy ? inPodPath : (word) => word),
    ],
    env: {
      USERNS: userNamespaceFile(network),
      RESOLV: files.resolvConf,
      HOSTS: files.hosts,
      ROOTS: files.rootCertificates ?? "",
      RUN: files.run,
      TMP: tmp,
      VAR_TMP: varTmp,
      SHM: shm,
      VIEW: isProxy ? files.proxyState : "",
      CONTROL: isProxy ? files.controlFolder : "",
      PROGRAM: withProgram ? (hiddenProgramFolder() ?? "") : "",
      PRIVILEGES: privileges(network, user),
    },
  };
}

function privileges({ applicationUid }: PodNetwork, user: PodUser): string {
  if (user === "root") return "--reuid=0 --regid=0 --clear-groups";
  const uid = user === "proxy" ? PROXY_UID : applicationUid;
  return `--reuid=${uid} --regid=${uid} --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs`;
}
