import { resolve } from "node:path";
import { parseSpiffeId, parseTrustDomain, type SpiffeId, type TrustDomain } from "../../model/spiffe-id.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";

/** How the server of a bundle endpoint proves itself. @see SPIFFE Federation specification §5.2 */
export type EndpointProfile = "https_web" | "https_spiffe";

/** A trust domain whose workloads may be talked to, and where its bundle is had. */
export interface FederatedDomain {
  readonly trustDomain: TrustDomain;
  /** Undefined: the bundle's file is all there is. */
  readonly url: URL | undefined;
  readonly profile: EndpointProfile;
  /** For `https_spiffe`: who the endpoint's server must be. */
  readonly endpointId: SpiffeId | undefined;
  /** A SPIFFE bundle to start with. */
  readonly bundleFile: string | undefined;
  /** For `https_web`: PEM roots besides the system's. */
  readonly caFile: string | undefined;
}

/** Where this mesh's own bundle is served. */
export interface BundleEndpointOption {
  readonly host: string;
  readonly port: number;
  readonly profile: EndpointProfile;
  /** For `https_web`: PEM. */
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
}

const FEDERATE_FORM =
  "write it as other.domain=https://host/path,profile=https_spiffe,id=spiffe://other.domain/…,bundle=FILE, or …,profile=https_web, or other.domain=bundle=FILE";
const ENDPOINT_FORM =
  "write it as 127.0.0.1:8443,profile=https_spiffe, or 127.0.0.1:8443,profile=https_web,cert=FILE,key=FILE";
/** In policies it stands for the mesh's own trust domain, whatever that is called: rules for one would let the other in. */
const OWN_BY_CONVENTION = "cluster.local";

/**
 * Reads one `--federate`.
 * @throws {BulwarkError} BW_CLI_INPUT
 */
export function parseFederate(text: string): FederatedDomain {
  const refuse = (why: string): never => refused("--federate", text, why, FEDERATE_FORM);
  const equals = text.indexOf("=");
  const trustDomain =
    parseTrustDomain(text.slice(0, Math.max(equals, 0))) ?? refuse("no trust domain stands first");
  if (trustDomain === OWN_BY_CONVENTION)
    refuse("policies mean this mesh's own trust domain by `cluster.local`, so no other can have that name");
  const parts = text.slice(equals + 1).split(",");
  const first = parts[0] ?? "";
  const url = first.startsWith("https://") && URL.canParse(first) ? new URL(first) : undefined;
  if (url === undefined && !first.startsWith("bundle=")) refuse("its endpoint is no https URL");
  if (url !== undefined && (url.username !== "" || url.password !== ""))
    refuse("its URL holds a user or password");
  const settings = settingsOf(
    url === undefined ? parts : parts.slice(1),
    ["profile", "id", "bundle", "ca"],
    refuse,
  );
  const profile = profileOf(settings.get("profile") ?? (url === undefined ? "https_web" : ""), refuse);
  const bundleFile = pathOf(settings.get("bundle"));
  const endpointId = endpointIdOf(settings.get("id"), refuse);
  if (profile === "https_spiffe" && (endpointId === undefined || bundleFile === undefined))
    refuse("https_spiffe needs `id` and, to know it by, the first `bundle`");
  // Its server's own bundle would otherwise have to be had from somewhere else again.
  if (endpointId !== undefined && !endpointId.startsWith(`spiffe://${trustDomain}/`))
    refuse("`id` is of another trust domain");
  if (profile === "https_web" && endpointId !== undefined) refuse("`id` is of https_spiffe only");
  if (profile === "https_spiffe" && settings.has("ca")) refuse("`ca` is of https_web only");
  return { trustDomain, url, profile, endpointId, bundleFile, caFile: pathOf(settings.get("ca")) };
}

/**
 * All of them together.
 * @throws {BulwarkError} BW_CLI_INPUT: a trust domain twice.
 */
export function parseFederation(texts: readonly string[]): readonly FederatedDomain[] {
  const domains = texts.map(parseFederate);
  const names = domains.map(({ trustDomain }) => trustDomain);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined)
    throw new BulwarkError("BW_CLI_INPUT", `--federate names the trust domain \`${twice}\` twice`);
  return domains;
}

/**
 * Reads `--bundle-endpoint`.
 * @throws {BulwarkError} BW_CLI_INPUT
 */
export function parseBundleEndpoint(text: string): BundleEndpointOption {
  const refuse = (why: string): never => refused("--bundle-endpoint", text, why, ENDPOINT_FORM);
  const [address = "", ...parts] = text.split(",");
  const [, host = "", portText = ""] =
    /^(127(?:\.\d{1,3}){3}|\[::1\]|localhost):(\d{1,5})$/.exec(address) ?? [];
  const port = Number(portText);
  if (host === "" || port > 65_535) refuse("its address is no loopback address with a port");
  const settings = settingsOf(parts, ["profile", "cert", "key"], refuse);
  const profile = profileOf(settings.get("profile") ?? "", refuse);
  const [certFile, keyFile] = [pathOf(settings.get("cert")), pathOf(settings.get("key"))];
  const isWeb = profile === "https_web";
  if (isWeb !== (certFile !== undefined) || isWeb !== (keyFile !== undefined))
    refuse("https_web needs `cert` and `key`, https_spiffe takes neither");
  return { host: host.replace(/^\[|\]$/g, ""), port, profile, certFile, keyFile };
}

type Refuse = (why: string) => never;

function settingsOf(
  parts: readonly string[],
  known: readonly string[],
  refuse: Refuse,
): ReadonlyMap<string, string> {
  const settings = new Map<string, string>();
  for (const part of parts) {
    const equals = part.indexOf("=");
    const name = part.slice(0, Math.max(equals, 0));
    const value = part.slice(equals + 1);
    if (!known.includes(name) || value === "" || settings.has(name))
      refuse(`\`${name || part}\` is unknown, empty or there twice`);
    settings.set(name, value);
  }
  return settings;
}

function profileOf(text: string, refuse: Refuse): EndpointProfile {
  return text === "https_web" || text === "https_spiffe"
    ? text
    : refuse("`profile` is https_web or https_spiffe");
}

function endpointIdOf(text: string | undefined, refuse: Refuse): SpiffeId | undefined {
  if (text === undefined) return undefined;
  const parsed = parseSpiffeId(text);
  return parsed === undefined || parsed.path === "" ? refuse("`id` is no SPIFFE ID") : parsed.id;
}

function pathOf(text: string | undefined): string | undefined {
  return text === undefined ? undefined : resolve(text);
}

function refused(option: string, text: string, why: string, form: string): never {
  throw new BulwarkError("BW_CLI_INPUT", `\`${option} ${text}\`: ${why}; ${form}`);
}
