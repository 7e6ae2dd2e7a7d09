import type { CheckContext } from "./check-context.ts";
import { checkDestinations, checkGatewayNames } from "./destination.ts";
import { checkExportTo } from "./export-to.ts";
import { type Field, quoted } from "./field.ts";
import { isClaimRoute } from "./headers.ts";
import {
  badHost,
  checkPort,
  hostsOverlap,
  hostWithin,
  isCidr,
  isIpAddress,
  wildcardNameProblem,
} from "./host-names.ts";
import { checkHttpRoute } from "./http-route.ts";
import { checkLabels } from "./labels.ts";
import { warnUnreachable } from "./unreachable-routes.ts";

/** @see https://istio.io/latest/docs/reference/config/networking/virtual-service/ */
export function checkVirtualService(spec: Field, { namespace }: CheckContext): void {
  const hosts = spec.at("hosts");
  const isDelegate = hosts.size === 0;
  const atGateway = spec.at("gateways").size > 0 && !spec.at("gateways").texts().includes("mesh");
  if (isDelegate) checkDelegate(spec);
  checkGatewayNames(spec.at("gateways"));
  if (!atGateway) checkNoClaimRoutes(spec);
  checkHosts(spec, atGateway);
  if (["http", "tcp", "tls"].every((key) => spec.at(key).size === 0)) {
    spec.error(
      "BW1222_ROUTE",
      "a VirtualService needs `http`, `tls` or `tcp` routes",
      "add a route, or delete the VirtualService",
    );
  }
  for (const route of spec.at("http").items()) checkHttpRoute(route, isDelegate);
  // For server names Istio takes a VirtualService without gateways for one that is bound to a gateway.
  const inMesh = spec.at("gateways").texts().includes("mesh");
  for (const route of spec.at("tls").items()) checkTlsRoute(route, spec, !inMesh);
  for (const route of spec.at("tcp").items()) checkTcpRoute(route);
  checkExportTo(spec.at("exportTo"), namespace);
  for (const protocol of ["http", "tcp", "tls"] as const) warnUnreachable(spec.at(protocol));
}

function checkDelegate(spec: Field): void {
  for (const key of ["gateways", "tls", "tcp"]) {
    if (spec.at(key).size > 0) {
      spec
        .at(key)
        .errorAtKey(
          "BW1232_DELEGATE",
          `a VirtualService without hosts is a delegate, which cannot have \`${key}\``,
          "add `hosts`, or remove it",
        );
    }
  }
}

function checkNoClaimRoutes(spec: Field): void {
  for (const route of spec.at("http").items()) {
    for (const match of route.at("match").items()) {
      for (const side of ["headers", "withoutHeaders"]) {
        for (const [name, header] of match.at(side).entries()) {
          if (!isClaimRoute(name)) continue;
          header.errorAtKey(
            "BW1222_ROUTE",
            "routes by claims of a token work at gateways only",
            "bind the VirtualService to a gateway",
          );
        }
      }
    }
  }
}

function checkHosts(spec: Field, atGateway: boolean): void {
  const hosts = spec.at("hosts").items();
  const hasSni = spec
    .at("tls")
    .items()
    .some((route) =>
      route
        .at("match")
        .items()
        .some((match) => match.at("sniHosts").size > 0),
    );
  let allValid = true;
  for (const host of hosts) {
    const problem = atGateway && hasSni ? gatewayHostProblem(host.text) : wildcardNameProblem(host.text);
    const isWildcardInMesh = problem === undefined && host.text === "*" && !atGateway;
    if (problem !== undefined && !isIpAddress(host.text)) badHost(host, problem);
    else if (isWildcardInMesh) badHost(host, "names every host; that is for gateways only");
    else continue;
    allValid = false;
  }
  if (!allValid) return;
  for (const [index, host] of hosts.entries()) {
    const other = hosts.slice(0, index).find((before) => hostsOverlap(before.text, host.text));
    if (other !== undefined)
      host.error(
        "BW1220_DUPLICATE",
        `the host ${quoted(host.text)} is covered by ${quoted(other.text)} already`,
        "remove one of the two",
      );
  }
}

/** Gateways between clusters use names like `outbound_.80_._.app.ns.svc.cluster.local`. */
function gatewayHostProblem(host: string): string | undefined {
  if (!host.startsWith("outbound_") || host.length > 255) return wildcardNameProblem(host);
  const [, port = "", , name = ""] = host.split("_");
  if (host.split("_").length < 4 || !/\d/.test(port) || !/[a-zA-Z]/.test(name)) {
    return "starts like `outbound_.PORT_._.HOST` but does not go on like it";
  }
  return undefined;
}

function checkTlsRoute(route: Field, spec: Field, atGateway: boolean): void {
  if (route.at("match").size === 0)
    route.error("BW1235_L4_ROUTE", `\`${route.name}\` needs a \`match\` with \`sniHosts\``);
  for (const match of route.at("match").items()) {
    if (match.at("sniHosts").size === 0)
      match.error("BW1235_L4_ROUTE", `\`${match.name}\` needs \`sniHosts\``);
    for (const sni of match.at("sniHosts").items()) checkSniHost(sni, spec, atGateway);
    checkL4Match(match);
  }
  checkL4Destinations(route, "TLS");
}

function checkTcpRoute(route: Field): void {
  for (const match of route.at("match").items()) checkL4Match(match);
  checkL4Destinations(route, "TCP");
}

function checkL4Destinations(route: Field, protocol: string): void {
  if (route.at("route").size === 0)
    route.error("BW1235_L4_ROUTE", `\`${route.name}\`: a ${protocol} route needs a \`route\``);
  checkDestinations(route.at("route"));
}

function checkL4Match(match: Field): void {
  if (!match.present) {
    match.error("BW1235_L4_ROUTE", `\`${match.name}\` is empty`, "remove it");
    return;
  }
  for (const subnet of match.at("destinationSubnets").items()) {
    if (isIpAddress(subnet.text) || isCidr(subnet.text)) continue;
    subnet.error(
      "BW1203_BAD_CIDR",
      `\`${subnet.name}\` is ${quoted(subnet.text)}, which is neither an IP address nor a CIDR block`,
    );
  }
  if (match.at("port").number !== 0) checkPort(match.at("port"));
  checkLabels(match.at("sourceLabels"));
  checkGatewayNames(match.at("gateways"));
}

function checkSniHost(sni: Field, spec: Field, atGateway: boolean): void {
  const problem = atGateway ? gatewayHostProblem(sni.text) : wildcardNameProblem(sni.text);
  if (problem !== undefined && isIpAddress(sni.text)) {
    sni.warning(
      "BW1306_SNI_IS_ADDRESS",
      `${quoted(sni.text)} is an IP address: clients send no SNI for those`,
      "match by `destinationSubnets`",
    );
    return;
  }
  if (problem !== undefined) {
    badHost(sni, problem);
    return;
  }
  const hosts = spec.at("hosts").texts();
  if (hosts.some((host) => hostWithin(sni.text, host))) return;
  sni.error(
    "BW1234_SNI_HOST",
    `the SNI ${quoted(sni.text)} is within none of the hosts ${hosts.map(quoted).join(", ")}`,
    "add it to `spec.hosts`, or remove it here",
  );
}
