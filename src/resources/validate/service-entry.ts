import { checkProtocol, isHttp, isTcp, isTls } from "./app-protocols.ts";
import type { CheckContext } from "./check-context.ts";
import { checkExportTo } from "./export-to.ts";
import { type Field, quoted } from "./field.ts";
import {
  badHost,
  checkHost,
  checkPort,
  isCidr,
  isDnsLabel,
  isIpAddress,
  nameProblem,
  wildcardNameProblem,
} from "./host-names.ts";
import { checkLabels, checkSelector } from "./labels.ts";
import { checkAccountName } from "./metadata.ts";
import { checkEndpoint, checkEndpointPorts } from "./workload-entry.ts";

/** @see https://istio.io/latest/docs/reference/config/networking/service-entry/ */
export function checkServiceEntry(spec: Field, context: CheckContext): void {
  const resolution = spec.at("resolution").text || "NONE";
  const selector = spec.at("workloadSelector");
  checkSelector(selector, "labels");
  if (selector.present && spec.at("endpoints").present) {
    fail(
      selector,
      "only one of `workloadSelector` and `endpoints` may be set",
      "keep the one that names the endpoints",
    );
  }
  checkHosts(spec, resolution);
  checkAddresses(spec, resolution);
  const ports = checkPorts(spec);
  checkResolution(spec, resolution, ports, context);
  checkSharedPorts(spec, resolution);
  checkExportTo(spec.at("exportTo"), context.namespace, { isServiceEntry: true });
}

function checkHosts(spec: Field, resolution: string): void {
  if (spec.at("hosts").size === 0) fail(spec, "a ServiceEntry needs `hosts`");
  for (const host of spec.at("hosts").items()) {
    const problem = host.text === "*" ? "names every host" : wildcardNameProblem(host.text);
    if (problem !== undefined) badHost(host, problem);
    else if (resolution !== "DYNAMIC_DNS" && host.text.includes("*") && !host.text.startsWith("*.")) {
      host.warning(
        "BW1317_PARTIAL_WILDCARD",
        `${quoted(host.text)} has a wildcard for a part of a label`,
        "write `*.example.com`",
      );
    }
  }
}

function checkAddresses(spec: Field, resolution: string): void {
  for (const address of spec.at("addresses").items()) {
    if (!isIpAddress(address.text) && !isCidr(address.text)) {
      address.error(
        "BW1203_BAD_CIDR",
        `\`${address.name}\` is ${quoted(address.text)}, which is neither an IP address nor a CIDR block`,
      );
    }
    if (address.text.includes("/") && resolution !== "NONE" && resolution !== "STATIC") {
      fail(
        address,
        `CIDR blocks are for resolution NONE and STATIC, not ${resolution}`,
        "write single addresses, or change the resolution",
      );
    }
  }
}

function checkPorts(spec: Field): Set<string> {
  const names = new Set<string>();
  const numbers = new Set<number>();
  for (const port of spec.at("ports").items()) {
    const name = port.at("name");
    const number = port.at("number");
    if (names.has(name.text))
      name.error("BW1220_DUPLICATE", `the port name ${quoted(name.text)} stands twice`);
    if (numbers.has(number.number))
      number.error("BW1220_DUPLICATE", `the port ${number.number} stands twice`);
    names.add(name.text);
    numbers.add(number.number);
    if (!isDnsLabel(name.text)) fail(name, `${quoted(name.text)} is no port name`, "letters, digits and `-`");
    checkProtocol(port.at("protocol"), { mayBeEmpty: true });
    checkPort(number);
    if (port.at("targetPort").present) checkPort(port.at("targetPort"));
  }
  return names;
}

function checkResolution(
  spec: Field,
  resolution: string,
  ports: ReadonlySet<string>,
  context: CheckContext,
): void {
  const endpoints = spec.at("endpoints");
  switch (resolution) {
    case "NONE":
      if (endpoints.present)
        fail(
          endpoints,
          "resolution NONE takes no `endpoints`: connections go where the client dialled",
          "use STATIC or DNS",
        );
      if (spec.at("workloadSelector").present) {
        spec
          .at("workloadSelector")
          .warning("BW1318_SELECTOR_UNUSED", "resolution NONE does not use `workloadSelector`", "use STATIC");
      }
      break;
    case "STATIC":
      for (const endpoint of endpoints.items())
        checkEndpoint(endpoint, { mayBeName: false, servicePorts: ports });
      break;
    case "DNS":
    case "DNS_ROUND_ROBIN":
      checkDns(spec, resolution, ports);
      break;
    case "DYNAMIC_DNS":
      checkDynamicDns(spec, context);
      break;
    default:
  }
}

function checkDns(spec: Field, resolution: string, ports: ReadonlySet<string>): void {
  const endpoints = spec.at("endpoints");
  const unresolvable = spec
    .at("hosts")
    .items()
    .find((host) => nameProblem(host.text) !== undefined);
  if (endpoints.size === 0 && unresolvable !== undefined) {
    badHost(unresolvable, `cannot be looked up: resolution ${resolution} without endpoints needs full names`);
  }
  if (resolution === "DNS_ROUND_ROBIN" && endpoints.size > 1)
    fail(endpoints, "DNS_ROUND_ROBIN takes one endpoint at most");
  for (const endpoint of endpoints.items()) {
    const address = endpoint.at("address");
    // The schema lets an endpoint with a network go without an address; resolution by DNS does not.
    if (!isIpAddress(address.text)) checkHost(address);
    checkLabels(endpoint.at("labels"));
    checkAccountName(endpoint.at("serviceAccount"));
    checkEndpointPorts(endpoint, ports);
  }
  const hasTcp = spec
    .at("ports")
    .items()
    .some((port) => isTcp(port.at("protocol").text));
  if (spec.at("addresses").size > 0 && spec.at("hosts").size > 1 && hasTcp) {
    spec
      .at("hosts")
      .warning(
        "BW1319_TCP_HOSTS",
        "hosts that share an address cannot be told apart on TCP ports",
        "write a ServiceEntry for each host",
      );
  }
}

const DYNAMIC_PROTOCOLS: ReadonlySet<string> = new Set(["http", "tls", "grpc", "http2"]);

function checkDynamicDns(spec: Field, { labels }: CheckContext): void {
  for (const host of spec.at("hosts").items()) {
    if (!host.text.startsWith("*"))
      badHost(host, "has no wildcard: resolution DYNAMIC_DNS is for wildcard hosts");
  }
  for (const key of ["addresses", "endpoints"]) {
    if (spec.at(key).size > 0)
      fail(
        spec.at(key),
        `resolution DYNAMIC_DNS takes no \`${key}\`: each host is looked up as it is asked for`,
      );
  }
  for (const port of spec.at("ports").items()) {
    const protocol = port.at("protocol");
    if (DYNAMIC_PROTOCOLS.has(protocol.text.toLowerCase())) continue;
    fail(
      protocol,
      `resolution DYNAMIC_DNS needs a protocol that names its host: HTTP, HTTP2, GRPC or TLS, not ${quoted(protocol.text)}`,
    );
  }
  const waypoint = labels.at("istio.io/use-waypoint").text;
  if (spec.at("location").text === "MESH_INTERNAL" && waypoint !== "" && waypoint.toLowerCase() !== "none") {
    fail(spec.at("location"), "resolution DYNAMIC_DNS behind a waypoint is for MESH_EXTERNAL hosts only");
  }
}

/** On a plain TCP port nothing says which host is meant. */
function checkSharedPorts(spec: Field, resolution: string): void {
  if (resolution === "NONE" || spec.at("hosts").size <= 1) return;
  const port = spec
    .at("ports")
    .items()
    .find((candidate) => {
      const protocol = candidate.at("protocol").text;
      return !isHttp(protocol) && !isTls(protocol);
    });
  if (port !== undefined)
    fail(port, "several hosts can share HTTP and TLS ports only", "write a ServiceEntry for each host");
}

function fail(field: Field, message: string, help?: string): void {
  field.error("BW1246_SERVICE_ENTRY", message, help);
}
