/**
 * References of images, by the grammar of the distribution project (distribution/reference), with Docker's defaults: no registry is
 * docker.io, no path there is library/, no tag and no digest is `latest`.
 */
export interface ImageReference {
  /** As written. */
  readonly text: string;
  /** Host and, where written, port: `docker.io`, `gcr.io`, `localhost:5000`. */
  readonly registry: string;
  /** `istio/proxyv2`, `library/nginx`. */
  readonly repository: string;
  /** As written; absent where none was. */
  readonly tag?: string;
  /** `sha256:…`: with it the tag is a comment, since nodes pull by the digest. Whether both name the same image no file can tell. */
  readonly digest?: string;
}

const ALPHANUMERIC = "[a-z0-9]+";
const SEPARATOR = "(?:[._]|__|-+)";
const COMPONENT = new RegExp(`^${ALPHANUMERIC}(?:${SEPARATOR}${ALPHANUMERIC})*$`);
const DOMAIN_LABEL = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const DOMAIN = new RegExp(`^(?:${DOMAIN_LABEL}(?:\\.${DOMAIN_LABEL})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`);
const TAG = /^[\w][\w.-]{0,127}$/;
const DIGEST = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;
/** Of algorithms that are registered; others may be of any length. */
const DIGEST_LENGTHS: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 };
/** Registry, slash and path together. */
const NAME_LENGTH_MAX = 255;
/** What no reference comes near: keeps the expressions from long texts. */
const TEXT_LENGTH_MAX = 1024;

/** @returns nothing for what no node could pull */
export function parseImageReference(text: string): ImageReference | undefined {
  if (text.length > TEXT_LENGTH_MAX) return undefined;
  const [named = "", digest, ...more] = text.split("@");
  if (more.length > 0 || (digest !== undefined && !isDigest(digest))) return undefined;
  const colon = named.lastIndexOf(":");
  const hasTag = colon > named.lastIndexOf("/");
  const tag = hasTag ? named.slice(colon + 1) : undefined;
  if (tag !== undefined && !TAG.test(tag)) return undefined;
  const name = splitName(hasTag ? named.slice(0, colon) : named);
  if (name === undefined) return undefined;
  return {
    text,
    ...name,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** `docker.io/istio/proxyv2`: the name that policies and signatures speak of. */
export function fullName({ registry, repository }: ImageReference): string {
  return `${registry}/${repository}`;
}

function splitName(name: string): Pick<ImageReference, "registry" | "repository"> | undefined {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const isHost = first === "localhost" || /[.:]/.test(first) || first !== first.toLowerCase();
  const registry = isHost ? first : "docker.io";
  const path = isHost ? name.slice(slash + 1) : name;
  const official = registry === "index.docker.io" ? "docker.io" : registry;
  const repository = official === "docker.io" && !path.includes("/") ? `library/${path}` : path;
  if (isHost && !DOMAIN.test(registry)) return undefined;
  if (official.length + 1 + repository.length > NAME_LENGTH_MAX) return undefined;
  return repository.split("/").every((part) => COMPONENT.test(part))
    ? { registry: official, repository }
    : undefined;
}

function isDigest(digest: string): boolean {
  if (!DIGEST.test(digest)) return false;
  const [algorithm = "", hex = ""] = digest.split(":");
  const length = DIGEST_LENGTHS[algorithm];
  return length === undefined || (hex.length === length && hex === hex.toLowerCase());
}
