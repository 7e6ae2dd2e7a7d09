import { join } from "node:path";
import { DnsServer, type LookUp } from "../../dataplane/dns/dns-server.ts";
import { serviceNames } from "../../dataplane/dns/service-names.ts";
import { standInNames } from "../../dataplane/dns/stand-in-names.ts";
import { withVirtualAddresses } from "../../model/virtual-addresses.ts";
import { type Assignments, toPlacement } from "../../substrate/assignment.ts";
import { CLUSTER_DNS } from "../../substrate/netns/addresses.ts";
import { readFabric } from "../../substrate/netns/drop-reader.ts";
import { FlowBuffer } from "../../telemetry/flow-buffer.ts";
import type { FlowLines } from "../../telemetry/flow-spill.ts";
import { liveAsChild, warn } from "../child-life.ts";
import { readAssignments } from "../configuration-keeper.ts";
import { ControlLink, connectAdmin } from "../control-link.ts";
import { ListeningReport } from "../listening-report.ts";
import type { ControlEvent } from "../messages.ts";
import { type StateFolder, stateFolderAt } from "../state-folder.ts";
import { DropRecords } from "./drop-records.ts";
import { NETWORK_REPORTER } from "./network-reporter.ts";
import { storedMesh } from "./stored-mesh.ts";

const POLL_MS = 500;
const REQUEST_TIMEOUT_MS = 10_000;
const FLUSH_TIMEOUT_MS = 1000;

/** Runs in the namespace outside of the pods: the cluster's DNS, and the record of what the firewall dropped. */
export async function runNetworkProcess({ statePath }: { readonly statePath: string }): Promise<void> {
  const network = new NetworkProcess(stateFolderAt(statePath));
  await network.start();
}

class NetworkProcess {
  readonly #state: StateFolder;
  readonly #drops = new DropRecords();
  readonly #dns: DnsServer;
  readonly #link: ControlLink;
  readonly #flows: FlowBuffer;
  readonly #report = new ListeningReport("network");
  #lookUp: LookUp = () => undefined;
  #version: number | undefined;
  #isListening = false;
  #isReading = false;
  #isFailing = false;

  constructor(state: StateFolder) {
    this.#state = state;
    this.#dns = new DnsServer({
      addresses: [CLUSTER_DNS.address, CLUSTER_DNS.address6],
      port: 53,
      lookUp: (name) => this.#lookUp(name),
      // There is nothing beyond the stand-ins: this network has no way to the machine's.
      forward: undefined,
    });
    this.#link = new ControlLink({ connect: () => this.#connect() });
    this.#flows = new FlowBuffer({
      reporter: NETWORK_REPORTER,
      spillDir: join(state.root, "spill", "network"),
      send: async (lines) =>
        void (await this.#link.request("network.flows", { records: recordsOf(lines) }, REQUEST_TIMEOUT_MS)),
      onDegraded: ({ message }) => warn(message),
    });
  }

  async start(): Promise<void> {
    const poll = setInterval(() => void this.#read(), POLL_MS);
    liveAsChild(this.#state, async () => {
      clearInterval(poll);
      await this.#read();
      this.#dns.close();
      await this.#flows.close(FLUSH_TIMEOUT_MS);
      this.#link.close();
    });
    this.#follow(readAssignments(this.#state));
    await this.#dns.listen();
    this.#isListening = true;
    this.#report.listens(this.#version);
  }

  async #connect() {
    const peer = await connectAdmin(this.#state, {
      event: (event) => {
        const told = event as ControlEvent;
        if (told.kind === "assignments") this.#follow(told.assignments);
      },
    });
    const assignments = (await peer.request("subscribe", {}, REQUEST_TIMEOUT_MS)) as Assignments | null;
    if (assignments !== null) this.#follow(assignments);
    this.#report.connected(peer);
    return peer;
  }

  #follow(assignments: Assignments): void {
    const stored = storedMesh(this.#state);
    this.#drops.follow(assignments, stored);
    const placement = toPlacement(assignments);
    const mesh = withVirtualAddresses(stored, placement);
    const services = serviceNames(mesh, placement, { serviceEntries: false });
    const outside = standInNames(placement.standIns);
    this.#lookUp = (name) => services(name) ?? outside(name);
    this.#version = assignments.version;
    if (this.#isListening) this.#report.listens(this.#version);
  }

  async #read(): Promise<void> {
    if (this.#isReading) return;
    this.#isReading = true;
    try {
      const { attempts } = await readFabric();
      for (const record of this.#drops.take(attempts)) this.#flows.push(record);
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing)
        warn(
          `what the firewall drops cannot be read: ${error instanceof Error ? error.message : String(error)}`,
        );
      this.#isFailing = true;
    } finally {
      this.#isReading = false;
    }
  }
}

function recordsOf(lines: FlowLines): unknown[] {
  return lines.text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as unknown);
}
