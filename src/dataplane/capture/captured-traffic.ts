import { isIPv4, type Socket } from "node:net";
import { nowRfc3339Nanos } from "../../model/flow-record.ts";
import type { SidecarTunnels } from "../hbone/sidecar-tunnels.ts";
import type { InboundListener } from "../inbound-listener.ts";
import type { OutboundListener } from "../outbound-listener.ts";
import type { ProxyEnvironment } from "../proxy-environment.ts";
import type { ApplicationAddress, ApplicationLookup } from "../proxy-options.ts";
import { HBONE_PORT } from "../upstream-target.ts";
import {
  CAPTURED_INBOUND_PORT,
  CAPTURED_OUTBOUND_PORT,
  HAND_OFF_ADDRESS,
  HAND_OFF_ADDRESS_6,
} from "./captured-ports.ts";
import { type OriginalDestination, OriginalDestinations } from "./original-destination.ts";

type Accept = (socket: Socket) => void;

/** No application is behind these: what dials them wants the proxy itself. */
const OWN_PORTS: ReadonlySet<number> = new Set([CAPTURED_INBOUND_PORT, CAPTURED_OUTBOUND_PORT]);

/**
 * A pod's traffic as the kernel redirects it: each connection is handed to the listener for where it was going. The application
 * is where its clients think it is, at the pod's own address.
 */
export class CapturedTraffic implements ApplicationLookup {
  readonly addresses: readonly string[] = ["0.0.0.0", "::"];
  readonly #env: ProxyEnvironment;
  readonly #originals = new OriginalDestinations();

  /** @throws {BulwarkError} BW_NATIVE_CALLS_MISSING */
  constructor(env: ProxyEnvironment) {
    this.#env = env;
  }

  get(port: number, ip: string = this.#env.pod.address): ApplicationAddress | undefined {
    if (OWN_PORTS.has(port)) return undefined;
    return { host: ip, port, localAddress: isIPv4(ip) ? HAND_OFF_ADDRESS : HAND_OFF_ADDRESS_6 };
  }

  /** The tunnels' port is captured like any other: where the pod takes none, it is the application's. */
  inbound(listener: InboundListener, tunnels: SidecarTunnels, reporter: () => string): Map<number, Accept> {
    return new Map([
      [
        CAPTURED_INBOUND_PORT,
        (socket) => {
          const destination = this.#originals.of(socket);
          if (destination === undefined || OWN_PORTS.has(destination.port))
            this.#refuse(socket, destination, reporter());
          else if (destination.port === HBONE_PORT && tunnels.isServed) tunnels.accept(socket);
          else listener.accept(socket, destination.port, destination.ip);
        },
      ],
    ]);
  }

  /** What dials the port itself, so that the kernel has redirected nothing, is a client of the explicit proxy, with its secret. */
  outbound(listener: OutboundListener): Map<number, Accept> {
    return new Map([
      [
        CAPTURED_OUTBOUND_PORT,
        (socket) => {
          const destination = this.#originals.of(socket);
          const { ip = socket.localAddress, port = CAPTURED_OUTBOUND_PORT } = destination ?? {};
          if (ip === undefined) socket.destroy();
          else if (port === CAPTURED_OUTBOUND_PORT && ip === socket.localAddress) listener.accept(socket);
          else listener.dial(socket, { ip, port });
        },
      ],
    ]);
  }

  #refuse(socket: Socket, destination: OriginalDestination | undefined, reporter: string): void {
    this.#env.http.counters.denied += 1;
    this.#env.http.flows.push({
      time: nowRfc3339Nanos(),
      kind: "connection",
      source: { principal: null, ip: socket.remoteAddress, port: socket.remotePort },
      destination: { workload: reporter, ip: destination?.ip, port: destination?.port },
      reporter,
      direction: "inbound",
      protocol: "tcp",
      verdict: "deny",
      layer: "protocol",
      reason: "not-captured",
      policy: null,
      rule: null,
      explanation: ["dialled the proxy's own port, which nothing but the kernel's redirection leads to"],
      durationMs: 0,
    });
    socket.destroy();
  }
}
