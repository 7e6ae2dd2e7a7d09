/** Why a connection without a server name gets nowhere where hosts are told apart by it. */
import { resourceName } from "../../resources/resource.ts";
import { isHostSubset } from "./host-name.ts";
import type { ProxyView } from "./proxy-view.ts";
import type { RegistryService } from "./registry.ts";
import type { DialedDestination } from "./types.ts";

/** So many hosts are named. */
const NAMED = 5;

/**
 * @param isTls whether the connection was TLS at all.
 * @returns nothing where the client knows no such host on this port.
 */
export function explainNoServerName(
  view: ProxyView,
  { host, port }: DialedDestination,
  isTls: boolean,
): string[] {
  const reached = hostsByServerName(view, port);
  if (reached.length === 0) return [];
  const meant = reached.filter(
    ({ hostname }) => host !== undefined && isHostSubset(host.toLowerCase(), hostname),
  );
  if (host !== undefined && meant.length === 0) return [];
  const named = (meant.length > 0 ? meant : reached).map(
    ({ hostname, model }) => `\`${hostname}\` (${resourceName(model.resource)})`,
  );
  const more = named.length > NAMED ? ` and ${named.length - NAMED} more` : "";
  return [
    `${isTls ? "the TLS" : "the connection was not TLS, so it"} carried no server name (SNI), by which alone the hosts of port ${port} are told apart: ${named.slice(0, NAMED).join(", ")}${more}`,
    `open TLS with the server name${host === undefined ? " of the host" : ` \`${host}\``}, as clients do that are given a name and not an address`,
  ];
}

function hostsByServerName(view: ProxyView, port: number): readonly RegistryService[] {
  const services = view.scope.listeners.flatMap((listener) => listener.services);
  const reached = services.filter(({ ports }) =>
    ports.some((own) => own.port === port && (own.protocol === "tls" || own.protocol === "https")),
  );
  return [...new Map(reached.map((service) => [service.hostname, service])).values()];
}
