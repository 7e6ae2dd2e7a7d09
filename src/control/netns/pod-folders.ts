import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { PROXY_UID } from "../../dataplane/capture/captured-ports.ts";
import { writePrivateFile } from "../../identity/key-store.ts";
import { CLUSTER_DOMAIN } from "../../policy/outbound/host-name.ts";
import { type PodAssignment, podKey, type SessionHolder } from "../../substrate/assignment.ts";
import { CLUSTER_DNS } from "../../substrate/netns/addresses.ts";
import type { PodFiles } from "../../substrate/netns/launch.ts";
import { PRIVATE_FOLDERS } from "../../substrate/netns/private-folders.ts";
import type { NetworkedPod } from "../../substrate/netns/scripts.ts";
import { STAND_IN_CA_FILE } from "../../substrate/stand-in-authority.ts";
import type { RunBook } from "../run-book.ts";
import type { StateFolder } from "../state-folder.ts";
import { tokenFile } from "../token-file.ts";

const SYSTEM_ROOTS = "/etc/ssl/certs/ca-certificates.crt";
const ROOTS_FILE = "root-certificates.pem";

/** Only pods with a proxy of their own are given their token. */
export type TokenHolder = SessionHolder & Partial<Pick<PodAssignment, "network" | "proxied">>;

/** The socket that pods' proxies reach control by, in a folder of its own: it is what a pod is shown of the state folder. */
export function podSocket(state: StateFolder): string {
  return join(controlFolder(state), "control.sock");
}

function controlFolder({ controlSocket }: StateFolder): string {
  return join(dirname(controlSocket), "pods-control");
}

/**
 * The part of the state folder that pods see, each its own: names are resolved by it, tokens read, and flow records kept. Every
 * pod's proxy is another user of the machine, so that none can read what is another's.
 */
export class PodFolders {
  readonly #state: StateFolder;

  constructor(state: StateFolder) {
    this.#state = state;
  }

  /** What all pods share. Call it before the first pod's. */
  prepare(simulatesExternal: boolean): void {
    openFolder(controlFolder(this.#state));
    mkdirSync(this.#root, { recursive: true, mode: 0o700 });
    this.#emptyPrivateFolders();
    const file = join(this.#root, ROOTS_FILE);
    rmSync(file, { force: true });
    if (!simulatesExternal) return;
    const system = existsSync(SYSTEM_ROOTS) ? readFileSync(SYSTEM_ROOTS, "utf8") : "";
    const standIns = readFileSync(join(this.#state.standInFolder, STAND_IN_CA_FILE), "utf8");
    writeFileSync(file, `${system}\n${standIns}`);
    chmodSync(file, 0o644);
  }

  /** Where the files of a pod are; `make` writes them. */
  of(pod: Pick<PodAssignment, "namespace" | "name">): PodFiles {
    const folder = join(this.#root, podKey(pod).replace("/", "."));
    const roots = join(this.#root, ROOTS_FILE);
    return {
      resolvConf: join(folder, "resolv.conf"),
      hosts: join(folder, "hosts"),
      ...(existsSync(roots) ? { rootCertificates: roots } : {}),
      run: join(folder, "run"),
      private: PRIVATE_FOLDERS.map((own) => join(folder, "private", own)),
      proxyState: join(folder, "proxy"),
      controlFolder: controlFolder(this.#state),
    };
  }

  make(pod: NetworkedPod): void {
    const { resolvConf, hosts, run, private: privateFolders, proxyState } = this.of(pod);
    mkdirSync(run, { recursive: true, mode: 0o755 });
    for (const own of privateFolders) {
      mkdirSync(own, { recursive: true });
      chmodSync(own, 0o1777);
    }
    writePublicFile(resolvConf, resolvConfOf(pod));
    writePublicFile(hosts, hostsOf(pod));
    openFolder(proxyState);
    openFolder(join(proxyState, "control"));
    for (const name of ["control.sock", "run.json"]) {
      rmSync(join(proxyState, name), { force: true });
      symlinkSync(join("control", name), join(proxyState, name));
    }
    const owner = pod.network.firstUid + PROXY_UID;
    // INVARIANT: what this process, the machine's root, writes to is in no folder that a pod could change a name in.
    const tokens = join(proxyState, "tokens");
    if (!pod.proxied) rmSync(tokens, { recursive: true, force: true });
    openFolder(tokens);
    mkdirSync(join(proxyState, "spill"), { recursive: true, mode: 0o700 });
    chownSync(join(proxyState, "spill"), owner, owner);
  }

  remove(pod: PodAssignment): void {
    rmSync(dirname(this.of(pod).hosts), { recursive: true, force: true });
  }

  /** Puts the pod's token where its proxy, and no other, can read it. */
  deliverToken(pod: TokenHolder): void {
    if (pod.network === undefined || pod.proxied !== true) return;
    const view = { ...this.#state, tokenFolder: join(this.of(pod).proxyState, "tokens") };
    const file = tokenFile(view, podKey(pod));
    const token = readFileSync(tokenFile(this.#state, podKey(pod)), "utf8");
    writePrivateFile(file, token, { outlivesPowerCut: false });
    const owner = pod.network.firstUid + PROXY_UID;
    chownSync(file, owner, owner);
  }

  /** By this, processes in pods see whether they are still wanted. */
  book({ supervisor, children, startedAt }: RunBook): void {
    const folder = controlFolder(this.#state);
    if (!existsSync(folder)) return;
    // Whole or not at all for its readers; after a crash of the machine nobody reads it.
    const temporary = join(folder, "run.json.new");
    writePublicFile(temporary, JSON.stringify({ supervisor, children, startedAt }));
    renameSync(temporary, join(folder, "run.json"));
  }

  /** Nothing runs any more. What proxies could not hand over stays, for the next start. */
  close(): void {
    rmSync(controlFolder(this.#state), { recursive: true, force: true });
    this.#emptyPrivateFolders();
  }

  #emptyPrivateFolders(): void {
    if (!existsSync(this.#root)) return;
    for (const { name } of readdirSync(this.#root, { withFileTypes: true }).filter((each) =>
      each.isDirectory(),
    ))
      rmSync(join(this.#root, name, "private"), { recursive: true, force: true });
  }

  get #root(): string {
    return join(this.#state.root, "pods");
  }
}

/** As kubelet writes it. */
function resolvConfOf({ namespace }: PodAssignment): string {
  const search = [`${namespace}.svc.${CLUSTER_DOMAIN}`, `svc.${CLUSTER_DOMAIN}`, CLUSTER_DOMAIN];
  return `search ${search.join(" ")}\nnameserver ${CLUSTER_DNS.address}\noptions ndots:5\n`;
}

function hostsOf({ name, address, address6 }: PodAssignment): string {
  const own = [address, address6].filter((each) => each !== undefined).map((each) => `${each}\t${name}`);
  return ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback", ...own, ""].join("\n");
}

function writePublicFile(path: string, text: string): void {
  writeFileSync(path, text);
  chmodSync(path, 0o644);
}

/** Whoever knows a name in it may open what its own mode allows. */
function openFolder(path: string): void {
  mkdirSync(path, { recursive: true });
  chmodSync(path, 0o711);
}
