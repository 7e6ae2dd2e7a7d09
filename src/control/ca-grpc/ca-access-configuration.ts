import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { load } from "js-yaml";
import type { ClaimRule } from "../../identity/authentication/oidc-token.ts";
import type { BucketOptions } from "../../identity/authentication/token-buckets.ts";
import { MIN_TTL_SECONDS } from "../../identity/ca.ts";
import { CA_AUDIENCE } from "../../identity/service-account-token.ts";
import { parseTrustDomain, type TrustDomain, workloadSpiffeId } from "../../model/spiffe-id.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";

/** A cluster whose service account tokens are believed. */
export interface ClusterAccess {
  readonly issuer: string;
  readonly audience: string;
  /** By the API server's word; else offline, by the keys in a file. */
  readonly by:
    | {
        readonly kind: "token-review";
        readonly server: URL;
        readonly caFile: string;
        readonly tokenFile: string;
        readonly timeoutMs: number;
        readonly cacheMs: number;
      }
    | { readonly kind: "jwks"; readonly file: string };
  /** Longest life of a certificate that its tokens may ask for; undefined: the CA's own maximum. */
  readonly maxTtlSeconds?: number | undefined;
}

/** An issuer outside of the mesh. */
export interface OidcAccess {
  readonly issuer: string;
  readonly audiences: readonly string[];
  /** Empty: found by the issuer's discovery document. */
  readonly jwksUri: string;
  readonly singleUse: boolean;
  readonly rules: readonly ClaimRule[];
  /** As a cluster's. */
  readonly maxTtlSeconds?: number | undefined;
}

/** Who may ask the CA for certificates, beyond the proxies of this mesh, and where. */
export interface CaAccessConfiguration {
  readonly clusters: readonly ClusterAccess[];
  readonly oidc: readonly OidcAccess[];
  /** `namespace/service account`. */
  readonly nodeAgents: readonly string[];
  readonly certificates: boolean;
  readonly detectReplay: boolean;
  readonly limits: { readonly perIdentity?: BucketOptions; readonly perAddress?: BucketOptions };
  /** Undefined: no gRPC service. */
  readonly listen: { readonly host: string; readonly port: number } | undefined;
  /** DNS names under which clients know the gRPC service. */
  readonly serverNames: readonly string[];
}

export const NO_CA_ACCESS: CaAccessConfiguration = {
  clusters: [],
  oidc: [],
  nodeAgents: [],
  certificates: true,
  detectReplay: true,
  limits: {},
  listen: undefined,
  serverNames: [],
};

const DEFAULT_SERVER_NAMES = ["istiod.istio-system.svc", "localhost"];
const DNS_NAME = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;
const LOOPBACK = /^(127(?:\.\d{1,3}){3}|localhost):(\d{1,5})$/;
const ACCOUNT = /^([a-z0-9][a-z0-9.-]*)\/([a-z0-9][a-z0-9.-]*)$/;

/**
 * Reads `up --ca-access FILE` (docs/ca-authentication.md). Paths in it are relative to it. What is not known is refused: a misspelt limit would be no
 * limit.
 * @throws {BulwarkError} BW_CA_ACCESS_CONFIG
 */
export function readCaAccess(path: string, trustDomain: TrustDomain): CaAccessConfiguration {
  let document: unknown;
  try {
    document = load(readFileSync(path, "utf8"));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.replaceAll(/\s+/g, " ") : String(cause);
    throw new BulwarkError("BW_CA_ACCESS_CONFIG", `${path} cannot be read: ${why}`, { cause });
  }
  return parseCaAccess(document, { path, folder: dirname(resolve(path)), trustDomain });
}

/** As {@link readCaAccess}, where the trust domain is not known yet and only mistakes are looked for. */
export function checkCaAccess(path: string): void {
  const anyDomain = parseTrustDomain("cluster.local");
  if (anyDomain !== undefined) readCaAccess(path, anyDomain);
}

interface Place {
  readonly path: string;
  readonly folder: string;
  readonly trustDomain: TrustDomain;
}

/** @throws {BulwarkError} BW_CA_ACCESS_CONFIG */
export function parseCaAccess(document: unknown, place: Place): CaAccessConfiguration {
  const root = new Section(document, "", place);
  const listen = root.optionalText("listen");
  const configuration: CaAccessConfiguration = {
    clusters: root.sections("clusters").map(readCluster),
    oidc: root.sections("oidc").map((section) => readOidc(section, place)),
    nodeAgents: root.texts("nodeAgents").map((name) => root.matching("nodeAgents", name, ACCOUNT)[0]),
    certificates: root.flag("certificates", true),
    detectReplay: root.flag("detectReplay", true),
    limits: readLimits(root.section("limits")),
    listen: listen === undefined ? undefined : readListen(root, listen),
    serverNames: readServerNames(root),
  };
  root.finish();
  return configuration;
}

function readCluster(section: Section): ClusterAccess {
  const issuer = section.text("issuer");
  const audience = section.optionalText("audience") ?? CA_AUDIENCE;
  const jwksFile = section.optionalText("jwksFile");
  const review = section.section("tokenReview");
  if ((jwksFile === undefined) === (review === undefined))
    section.fail("", "needs either `tokenReview` or `jwksFile`");
  const maxTtlSeconds = readMaxTtl(section);
  section.finish();
  if (jwksFile !== undefined)
    return { issuer, audience, by: { kind: "jwks", file: section.file(jwksFile) }, maxTtlSeconds };
  const by = readReview(review ?? section.fail("tokenReview", "is missing"));
  return { issuer, audience, by, maxTtlSeconds };
}

function readReview(section: Section): ClusterAccess["by"] {
  const server = section.text("server");
  if (!URL.canParse(server) || new URL(server).protocol !== "https:")
    section.fail("server", "is no https URL");
  const by = {
    kind: "token-review",
    server: new URL(server),
    caFile: section.file(section.text("caFile")),
    tokenFile: section.file(section.text("tokenFile")),
    timeoutMs: 1000 * (section.optionalNumber("timeoutSeconds", 0.1, 60) ?? 5),
    cacheMs: 1000 * (section.optionalNumber("cacheSeconds", 0, 3600) ?? 10),
  } as const;
  section.finish();
  return by;
}

/** A year is longer than any CA here signs for: what stands above it is a slip, and no limit. */
function readMaxTtl(section: Section): number | undefined {
  return section.optionalNumber("maxTtlSeconds", MIN_TTL_SECONDS, 365 * 86_400);
}

function readOidc(section: Section, { trustDomain }: Place): OidcAccess {
  const issuer = section.text("issuer");
  const jwksUri = section.optionalText("jwksUri") ?? "";
  const audiences = section.texts("audiences");
  if (audiences.length === 0) section.fail("audiences", "is empty: a token for anybody would do");
  if (jwksUri === "" && !/^https?:\/\//.test(issuer))
    section.fail("jwksUri", "is missing, and the issuer is no URL to find it by");
  const rules = section.sections("identities").map((rule) => readRule(rule, trustDomain));
  if (rules.length === 0) section.fail("identities", "is empty: no token would get anything");
  const singleUse = section.flag("singleUse", false);
  const maxTtlSeconds = readMaxTtl(section);
  section.finish();
  return { issuer, audiences, jwksUri, singleUse, rules, maxTtlSeconds };
}

function readRule(section: Section, trustDomain: TrustDomain): ClaimRule {
  const [, namespace = "", account = ""] = section.matching(
    "serviceAccount",
    section.text("serviceAccount"),
    ACCOUNT,
  );
  const claims = section.textMap("claims");
  if (Object.keys(claims).length === 0) section.fail("claims", "is empty: every token would fit");
  section.finish();
  return { claims, spiffeId: workloadSpiffeId(trustDomain, namespace, account) };
}

function readLimits(section: Section | undefined): CaAccessConfiguration["limits"] {
  if (section === undefined) return {};
  const perIdentity = readBucket(section.section("perIdentity"));
  const perAddress = readBucket(section.section("perAddress"));
  section.finish();
  return { ...(perIdentity && { perIdentity }), ...(perAddress && { perAddress }) };
}

function readBucket(section: Section | undefined): BucketOptions | undefined {
  if (section === undefined) return undefined;
  const ratePerSecond = section.optionalNumber("ratePerSecond", 0.001, 1e6);
  const burst = section.optionalNumber("burst", 1, 1e6);
  section.finish();
  if (ratePerSecond === undefined || burst === undefined)
    return section.fail("", "needs `ratePerSecond` and `burst`");
  return { ratePerSecond, burst };
}

function readListen(section: Section, text: string): { host: string; port: number } {
  const [, host = "", port = ""] =
    LOOPBACK.exec(text) ??
    section.fail("listen", "is no loopback address with a port, as in 127.0.0.1:15012");
  if (Number(port) > 65_535) section.fail("listen", "has no such port");
  return { host: host === "localhost" ? "127.0.0.1" : host, port: Number(port) };
}

function readServerNames(section: Section): readonly string[] {
  const names = section.texts("serverNames");
  for (const name of names) section.matching("serverNames", name, DNS_NAME);
  return names.length === 0 ? DEFAULT_SERVER_NAMES : names;
}

/** One mapping of the document; says of what it finds wrong where that is, and counts what was never asked for as wrong. */
class Section {
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly #at: string;
  readonly #place: Place;
  readonly #asked = new Set<string>();

  constructor(value: unknown, at: string, place: Place) {
    this.#at = at;
    this.#place = place;
    this.#fields = isMapping(value) ? value : this.fail("", "is no mapping");
  }

  text(name: string): string {
    return this.optionalText(name) ?? this.fail(name, "is missing");
  }

  optionalText(name: string): string | undefined {
    const value = this.#get(name);
    if (value === undefined) return undefined;
    return typeof value === "string" && value !== "" ? value : this.fail(name, "is no text");
  }

  texts(name: string): readonly string[] {
    const value = this.#get(name) ?? [];
    const isList = Array.isArray(value) && value.every((each) => typeof each === "string" && each !== "");
    return isList ? value : this.fail(name, "is no list of texts");
  }

  textMap(name: string): Readonly<Record<string, string>> {
    const value = this.#get(name) ?? {};
    if (!isMapping(value)) return this.fail(name, "is no mapping");
    const entries = Object.entries(value).map(
      ([key, text]) =>
        [key, typeof text === "string" ? text : this.fail(`${name}.${key}`, "is no text")] as const,
    );
    return Object.fromEntries(entries);
  }

  flag(name: string, otherwise: boolean): boolean {
    const value = this.#get(name) ?? otherwise;
    return typeof value === "boolean" ? value : this.fail(name, "is neither true nor false");
  }

  optionalNumber(name: string, least: number, most: number): number | undefined {
    const value = this.#get(name);
    if (value === undefined) return undefined;
    const isWithin = typeof value === "number" && value >= least && value <= most;
    return isWithin ? value : this.fail(name, `is no number from ${least} to ${most}`);
  }

  section(name: string): Section | undefined {
    const value = this.#get(name);
    return value === undefined ? undefined : new Section(value, this.#path(name), this.#place);
  }

  sections(name: string): readonly Section[] {
    const value = this.#get(name) ?? [];
    const list: readonly unknown[] = Array.isArray(value) ? value : this.fail(name, "is no list");
    return list.map((each, index) => new Section(each, this.#path(`${name}[${index}]`), this.#place));
  }

  matching(name: string, text: string, pattern: RegExp): RegExpExecArray {
    return pattern.exec(text) ?? this.fail(name, `has \`${text}\`, which has another form than is needed`);
  }

  file(name: string): string {
    return resolve(this.#place.folder, name);
  }

  finish(): void {
    const unknown = Object.keys(this.#fields).find((name) => !this.#asked.has(name));
    if (unknown !== undefined) this.fail(unknown, "is not known");
  }

  fail(name: string, why: string): never {
    const where = this.#path(name);
    const subject = where === "" ? "it" : `\`${where}\``;
    throw new BulwarkError("BW_CA_ACCESS_CONFIG", `${this.#place.path}: ${subject} ${why}`);
  }

  #get(name: string): unknown {
    this.#asked.add(name);
    const value = Object.hasOwn(this.#fields, name) ? this.#fields[name] : undefined;
    return value === null ? undefined : value;
  }

  #path(name: string): string {
    return [this.#at, name].filter((part) => part !== "").join(".");
  }
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
