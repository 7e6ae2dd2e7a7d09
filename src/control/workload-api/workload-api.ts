import { rmSync } from "node:fs";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { type PodAssignment, podKey } from "../../substrate/assignment.ts";
import type { StateFolder } from "../state-folder.ts";
import { permissionDenied } from "./call-status.ts";
import { PodCaller, type PodServices } from "./pod-caller.ts";
import { SECRET_DISCOVERY, secretService } from "./sds-service.ts";
import { SPIFFE_WORKLOAD_API, spiffeService } from "./spiffe-service.ts";
import { emptySocketFolder, workloadSocket, workloadSocketFolder } from "./workload-sockets.ts";

export interface WorkloadApiOptions extends PodServices {
  readonly state: StateFolder;
  /** The pods that live now. */
  readonly pods: () => readonly PodAssignment[];
}

/** Nothing that is asked here is larger: Envoy's first request tells of all its extensions. */
const MAX_REQUEST_BYTES = 256 * 1024;

/** What one caller can make the server hold. */
const SERVER_OPTIONS = {
  "grpc.max_receive_message_length": MAX_REQUEST_BYTES,
  "grpc.max_concurrent_streams": 128,
  "grpc.max_metadata_size": 16 * 1024,
  "grpc.enable_channelz": 0,
};

interface PodServer {
  readonly uid: string;
  readonly server: Server;
  readonly caller: PodCaller;
}

/** The SPIFFE Workload API and Envoy's secret discovery, on one Unix socket for each pod. */
export class WorkloadApi {
  readonly #options: WorkloadApiOptions;
  readonly #servers = new Map<string, PodServer>();
  #changing: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: WorkloadApiOptions) {
    this.#options = options;
    emptySocketFolder(workloadSocketFolder(options.state));
  }

  /** Opens sockets of new pods and closes those of pods that are gone, with every stream on them. Settles when all of it is done; never rejects. */
  podsChanged(): Promise<void> {
    this.#changing = this.#changing.then(() => this.#reconcile());
    return this.#changing;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#changing;
    for (const [key, server] of this.#servers) this.#stop(key, server);
    rmSync(workloadSocketFolder(this.#options.state), { recursive: true, force: true });
  }

  async #reconcile(): Promise<void> {
    if (this.#isClosed) return;
    const pods = new Map(this.#options.pods().map((pod) => [podKey(pod), pod]));
    for (const [key, server] of this.#servers) if (pods.get(key)?.uid !== server.uid) this.#stop(key, server);
    for (const [key, pod] of pods) {
      if (this.#servers.has(key)) continue;
      try {
        this.#servers.set(key, await this.#start(pod));
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        this.#options.onWarning(`the Workload API of ${key} is not there: ${message}`);
      }
    }
  }

  async #start(pod: PodAssignment): Promise<PodServer> {
    const { uid } = pod;
    const caller = new PodCaller(this.#options, () => this.#options.pods().find((one) => one.uid === uid));
    const server = new Server(SERVER_OPTIONS);
    server.addService(SPIFFE_WORKLOAD_API, spiffeService(caller));
    server.addService(SECRET_DISCOVERY, secretService(caller));
    await bind(server, workloadSocket(this.#options.state, pod));
    return { uid, server, caller };
  }

  #stop(key: string, { server, caller }: PodServer): void {
    this.#servers.delete(key);
    caller.endAll(permissionDenied("no identity is issued to this workload"));
    // A moment for the streams' last words; whoever holds its connection open does not hold up anything.
    const timer = setTimeout(() => server.forceShutdown(), STOP_MS);
    server.tryShutdown(() => clearTimeout(timer));
  }
}

const STOP_MS = 200;

function bind(server: Server, path: string): Promise<void> {
  rmSync(path, { force: true });
  return new Promise((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else
        reject(
          new BulwarkError("BW_WORKLOAD_SOCKET", `cannot listen on ${path}: ${error.message}`, {
            cause: error,
          }),
        );
    });
  });
}
