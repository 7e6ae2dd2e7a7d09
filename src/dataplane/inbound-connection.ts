import type { Socket } from "node:net";
import type { FlowDestination, FlowSource } from "../model/flow-record.ts";

/** One connection on its way to a server: as accepted, or as it came out of a tunnel. */
export interface InboundConnection {
  readonly socket: Socket;
  /** As policies see it: the container's, or the service's at a waypoint. */
  readonly port: number;
  readonly id: string;
  readonly source: FlowSource;
  readonly destination: FlowDestination;
  readonly startedMs: number;
}
