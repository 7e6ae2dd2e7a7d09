import type { Duplex } from "node:stream";
import type { AppProtocol } from "../../model/mesh.ts";
import { addressesOf } from "../../model/placement.ts";
import { type PodAssignment, podKey, type StandInAssignment } from "../assignment.ts";
import { listenInside } from "../netns/sockets-inside.ts";
import type { StandInAuthority } from "../stand-in-authority.ts";
import { type EchoSelf, echoHttp } from "./echo-http.ts";
import { type DeclaredTraffic, SniffingServer } from "./sniffing-server.ts";

/** One listening echo. */
export interface EchoListener {
  readonly host: string;
  readonly port: number;
  /** Inside of which network namespace; absent: this process's own. */
  readonly namespace?: string;
  /** Changes when the echo must be made anew. */
  readonly key: string;
  readonly create: (authority: StandInAuthority) => SniffingServer;
}

/** The echoes of a pod that has no application of the user's. */
export function podEchoes(pod: PodAssignment): readonly EchoListener[] {
  return pod.applicationPorts.map(({ port, host, socketPort, protocol }) => {
    const self: EchoSelf = { workload: pod.workload, pod: podKey(pod), port };
    const fallbackName = `${pod.name}.${pod.namespace}`;
    const declared = OPAQUE.has(protocol) ? "opaque" : declaredTraffic(protocol);
    const { network } = pod;
    return network === undefined
      ? listener(host, socketPort, self, fallbackName, declared)
      : listener("::", socketPort, self, fallbackName, declared, network.namespace);
  });
}

/** The stand-in for a host outside of the mesh. */
export function standInEchoes(
  standIn: StandInAssignment,
  privilegedPortOffset: number,
): readonly EchoListener[] {
  return standIn.ports.flatMap(({ port, protocol }) => {
    const socketPort = port < 1024 ? port + privilegedPortOffset : port;
    const fallbackName = standIn.host.replace(/^\*\./, "any.");
    // Clients bring their own TLS to a port that the mesh passes on as TCP: a stand-in looks for it everywhere.
    const declared = declaredTraffic(protocol);
    return addressesOf(standIn).map((address) =>
      listener(address, socketPort, { standIn: standIn.host, port }, fallbackName, declared),
    );
  });
}

const OPAQUE: ReadonlySet<AppProtocol> = new Set(["tcp", "mongo", "mysql", "redis"]);
const HTTP: ReadonlySet<AppProtocol> = new Set(["http", "http2", "grpc", "https"]);

function declaredTraffic(protocol: AppProtocol): DeclaredTraffic {
  return HTTP.has(protocol) ? "http" : "undeclared";
}

function listener(
  host: string,
  port: number,
  self: EchoSelf,
  fallbackName: string,
  declared: DeclaredTraffic,
  namespace?: string,
): EchoListener {
  return {
    host,
    port,
    ...(namespace === undefined ? {} : { namespace }),
    key: JSON.stringify([host, port, self, declared, namespace]),
    create: (authority) =>
      new SniffingServer({
        onRequest: echoHttp(self),
        onRaw: echoRaw,
        secureContext: (name) => authority.secureContext(name, fallbackName),
        declared,
      }),
  };
}

/** Sends back what comes, half-close included. `pipe` keeps the pace of the slower side. */
function echoRaw(stream: Duplex, first: Buffer): void {
  stream.on("error", () => stream.destroy());
  if (first.length > 0) stream.write(first);
  stream.pipe(stream);
}

/** How long to wait before a port that is taken is tried again. */
const RETRY_MS = 500;

export interface EchoSetOptions {
  readonly authority: StandInAuthority;
  readonly onWarning: (message: string) => void;
  /** All that is wanted listens: told for each `apply`, later where something has to be tried again. */
  readonly onListening?: () => void;
}

/** Keeps a changing set of echoes listening; an echo that stays is not touched. */
export class EchoSet {
  readonly #options: EchoSetOptions;
  readonly #servers = new Map<string, SniffingServer>();
  /** Of the servers those that listen, not only try to. */
  readonly #listening = new Set<string>();
  #wanted: readonly EchoListener[] = [];
  #retry: NodeJS.Timeout | undefined;

  constructor(options: EchoSetOptions) {
    this.#options = options;
  }

  /** Settles when all that can listen do; the others are tried again by themselves. */
  async apply(wanted: readonly EchoListener[]): Promise<void> {
    this.#wanted = wanted;
    const keys = new Set(wanted.map(({ key }) => key));
    for (const [key, server] of this.#servers) {
      if (keys.has(key)) continue;
      server.close();
      this.#servers.delete(key);
      this.#listening.delete(key);
    }
    const opened = Promise.all(wanted.map((listener) => this.#open(listener)));
    this.#tellListening();
    await opened;
  }

  close(): void {
    clearTimeout(this.#retry);
    for (const server of this.#servers.values()) server.close();
    this.#servers.clear();
    this.#listening.clear();
    this.#wanted = [];
  }

  #tellListening(): void {
    if (this.#wanted.every(({ key }) => this.#listening.has(key))) this.#options.onListening?.();
  }

  async #open(listener: EchoListener): Promise<void> {
    if (this.#servers.has(listener.key)) return;
    const server = listener.create(this.#options.authority);
    this.#servers.set(listener.key, server);
    try {
      const { host, port, namespace } = listener;
      await server.listen(
        namespace === undefined ? { host, port } : { fd: listenInside(namespace, host, port) },
      );
      // It may have been closed meanwhile, and another wanted in its place.
      if (this.#servers.get(listener.key) !== server) return;
      this.#listening.add(listener.key);
      this.#tellListening();
    } catch (error) {
      if (this.#servers.get(listener.key) === server) this.#servers.delete(listener.key);
      const why = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
      this.#options.onWarning(
        `cannot listen on ${listener.host}:${listener.port}: ${why}; it is tried again`,
      );
      clearTimeout(this.#retry);
      this.#retry = setTimeout(() => void this.apply(this.#wanted), RETRY_MS);
    }
  }
}
