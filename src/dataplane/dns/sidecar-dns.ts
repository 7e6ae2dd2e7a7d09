import { CAPTURED_DNS_PORT } from "../capture/captured-ports.ts";
import type { Snapshot } from "../proxy-environment.ts";
import { DnsServer, type LookUp } from "./dns-server.ts";
import { forwardQuery } from "./forward-query.ts";
import { serviceNames } from "./service-names.ts";

/**
 * All DNS of a pod: services, and ServiceEntries' hosts by the addresses that the sidecar knows them by, from its own configuration;
 * the rest from the cluster's DNS. Bound to the loopback addresses, or its answers would come from another address than
 * was asked.
 */
export class SidecarDns {
  readonly #server: DnsServer;
  #lookUp: LookUp = () => undefined;
  #isListening = false;

  constructor(upstream: string) {
    this.#server = new DnsServer({
      addresses: ["127.0.0.1", "::1"],
      port: CAPTURED_DNS_PORT,
      lookUp: (name) => this.#lookUp(name),
      forward: (query) => forwardQuery(upstream, query),
    });
  }

  /** @throws {BulwarkError} BW_LISTEN_FAILED */
  async serve({ mesh, placement }: Snapshot): Promise<void> {
    this.#lookUp = serviceNames(mesh, placement, { serviceEntries: true });
    if (this.#isListening) return;
    await this.#server.listen();
    this.#isListening = true;
  }

  close(): void {
    this.#server.close();
  }
}
