import type { InboundPolicy } from "../policy/inbound.ts";
import type { GatewayPolicy } from "../policy/outbound/types.ts";
import type { EdgeTlsByServer } from "./edge-tls-servers.ts";
import type { AuthorizerClient } from "./ext-authz/authorizer-client.ts";
import type { EndpointPicker } from "./pick-endpoint.ts";
import type { Snapshot } from "./proxy-environment.ts";

/** A gateway at present. */
export interface GatewayState {
  readonly snapshot: Snapshot;
  readonly policy: InboundPolicy;
  readonly routes: GatewayPolicy;
  readonly picker: EndpointPicker;
  readonly edge: EdgeTlsByServer;
  readonly authorizers: AuthorizerClient;
}
