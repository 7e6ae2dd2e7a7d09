import { checkUnixAddress, UNIX_PREFIX } from "./bind.ts";
import { type Field, quoted } from "./field.ts";
import { checkPort, isDnsLabel, isIpAddress, nameProblem } from "./host-names.ts";
import { checkLabels } from "./labels.ts";
import { checkAccountName } from "./metadata.ts";

/** @see https://istio.io/latest/docs/reference/config/networking/workload-entry/ */
export function checkWorkloadEntry(spec: Field): void {
  checkEndpoint(spec, { mayBeName: true });
}

/** An address outside of Kubernetes: a WorkloadEntry, or an endpoint in a ServiceEntry, which says the ports there are. */
export function checkEndpoint(
  endpoint: Field,
  options: { readonly mayBeName: boolean; readonly servicePorts?: ReadonlySet<string> },
): void {
  const address = endpoint.at("address");
  const fail = (field: Field, message: string, help?: string): void =>
    field.error("BW1244_ENDPOINT", message, help);
  if (address.text === "" && endpoint.at("network").text === "")
    fail(address, `\`${endpoint.name}\` needs an \`address\``);
  else if (address.text === "")
    address.warning(
      "BW1316_NO_ADDRESS",
      "an endpoint without an address is reached through its network's gateway only",
    );
  const isUnix = address.text.startsWith(UNIX_PREFIX);
  if (isUnix) {
    checkUnixAddress(address, address.text.slice(UNIX_PREFIX.length));
    if (endpoint.at("ports").present) fail(endpoint.at("ports"), "a Unix socket has no ports");
    if (options.servicePorts !== undefined && options.servicePorts.size !== 1)
      fail(address, "a Unix socket can serve one port only");
  } else if (address.text !== "" && !isIpAddress(address.text)) {
    if (!options.mayBeName)
      fail(
        address,
        `${quoted(address.text)} is no IP address`,
        "resolution STATIC takes addresses; for names use DNS",
      );
    else if (nameProblem(address.text) !== undefined)
      fail(address, `${quoted(address.text)} is neither an IP address nor a name`);
  }
  checkEndpointPorts(endpoint, options.servicePorts);
  checkLabels(endpoint.at("labels"));
  checkAccountName(endpoint.at("serviceAccount"));
}

export function checkEndpointPorts(endpoint: Field, servicePorts: ReadonlySet<string> | undefined): void {
  for (const [name, port] of endpoint.at("ports").entries()) {
    if (servicePorts !== undefined && !servicePorts.has(name)) {
      port.errorAtKey(
        "BW1244_ENDPOINT",
        `the port ${quoted(name)} is none of the ServiceEntry's`,
        `its ports are ${[...servicePorts].join(", ")}`,
      );
    }
    if (!isDnsLabel(name)) port.errorAtKey("BW1244_ENDPOINT", `${quoted(name)} is no port name`);
    checkPort(port);
  }
}
