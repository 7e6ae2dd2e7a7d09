/** What the conditions of policies name: the texts, patterns, blocks and ports at which a decision may change. */
import type { Condition } from "../../policy/condition.ts";
import { splitAccount } from "../../policy/identity-pattern.ts";
import { type CidrBlock, parseCidrBlock } from "../../policy/ip-address.ts";
import { isPathTemplate, parsePathTemplate } from "../../policy/path-template.ts";
import { expandPrincipals, expandTrustDomains, type TrustDomains } from "../../policy/trust-domain-alias.ts";
import { type Aspect, aspectsOf } from "./aspect.ts";
import {
  any,
  type Characters,
  endingWith,
  literal,
  NOT_EMPTY,
  type Piece,
  some,
  startingWith,
  type TextLanguage,
} from "./text-language.ts";

export interface TextAtoms {
  readonly exact: Set<string>;
  /** By label, so that each is there once. */
  readonly languages: Map<string, TextLanguage>;
}

/** What values of a policy may stand for besides themselves. */
export interface AtomContext {
  /** Those whose identities are taken, the mesh's own first. */
  readonly trustDomains: TrustDomains;
  readonly policyNamespace: string;
}

/** By aspect's id. A finer division than policies need is right as well, so what is added here may be too much, never too little. */
export class Atoms {
  readonly texts = new Map<string, TextAtoms>();
  readonly blocks = new Map<string, CidrBlock[]>();
  readonly ports = new Set<number>();
  readonly aspects = new Map<string, Aspect>();

  addCondition(
    { field, values, notValues }: Pick<Condition, "field" | "values" | "notValues">,
    context: AtomContext,
  ): void {
    // On TCP nobody tells of another client than the peer: what asks for the client asks for that.
    const own = aspectsOf(field);
    const peers = own.some(({ id }) => id === "remote.ip") ? aspectsOf("source.ip") : [];
    for (const aspect of [...own, ...peers]) {
      this.aspects.set(aspect.id, aspect);
      for (const value of [...values, ...notValues]) this.#addValue(aspect, field, value, context);
    }
  }

  textsOf(id: string): TextAtoms {
    const known = this.texts.get(id);
    if (known !== undefined) return known;
    const made: TextAtoms = { exact: new Set(), languages: new Map() };
    this.texts.set(id, made);
    return made;
  }

  addLanguage(id: string, language: TextLanguage): void {
    this.textsOf(id).languages.set(language.label, language);
  }

  /** So that those whose identities are taken stand apart. */
  addTrustDomain(name: string): void {
    this.addLanguage("identity", trustDomainLanguage(name));
  }

  /** All that the other has, in its order. */
  addAll(other: Atoms): void {
    for (const [id, aspect] of other.aspects) this.aspects.set(id, aspect);
    for (const port of other.ports) this.ports.add(port);
    for (const [id, blocks] of other.blocks) for (const block of blocks) this.addBlock(id, block);
    for (const [id, { exact, languages }] of other.texts) {
      const own = this.textsOf(id);
      for (const text of exact) own.exact.add(text);
      for (const [label, language] of languages) own.languages.set(label, language);
    }
  }

  addBlock(id: string, block: CidrBlock): void {
    const known = this.blocks.get(id);
    if (known === undefined) this.blocks.set(id, [block]);
    else known.push(block);
  }

  #addValue(aspect: Aspect, field: string, value: string, context: AtomContext): void {
    if (aspect.kind === "port") {
      if (/^\d{1,5}$/.test(value)) this.ports.add(Number(value));
    } else if (aspect.kind === "address") {
      const block = parseCidrBlock(value);
      if (block !== undefined) this.addBlock(aspect.id, block);
    } else if (aspect.kind === "identity") this.#addIdentity(field, value, context);
    else if (aspect.kind === "token") this.#addTokenPrincipal(value);
    else this.#addText(aspect.id, value);
  }

  #addText(id: string, value: string): void {
    const text = id === "host" || id === "sni" ? value.toLowerCase() : value;
    const template = id === "path" && isPathTemplate(text) ? templateLanguage(text) : undefined;
    if (template !== undefined) this.addLanguage(id, template);
    else this.addPattern(id, text);
  }

  /** As AuthorizationPolicy writes texts. @param before stands before what is compared from the beginning. */
  addPattern(id: string, value: string, before = ""): void {
    if (value === "*") this.addLanguage(id, NOT_EMPTY);
    else if (value.startsWith("*")) this.addLanguage(id, endingWith(value.slice(1)));
    else if (value.endsWith("*")) this.addLanguage(id, startingWith(before + value.slice(0, -1)));
    else this.textsOf(id).exact.add(before + value);
  }

  #addIdentity(field: string, value: string, { trustDomains, policyNamespace }: AtomContext): void {
    if (NAMESPACE_FIELDS.has(field)) {
      for (const language of namespaceLanguages(value)) this.addLanguage("identity", language);
    } else if (ACCOUNT_FIELDS.has(field)) {
      const { namespace, name } = splitAccount(value, policyNamespace);
      for (const trustDomain of trustDomains)
        this.textsOf("identity").exact.add(`spiffe://${trustDomain}/ns/${namespace}/sa/${name}`);
    } else if (TRUST_DOMAIN_FIELDS.has(field)) {
      for (const meant of expandTrustDomains([value], trustDomains))
        this.addLanguage("identity", trustDomainLanguage(meant));
    } else {
      for (const meant of expandPrincipals([value], trustDomains))
        this.addPattern("identity", meant, "spiffe://");
    }
  }

  /** `issuer/subject`, split at the last slash as rules read it. */
  #addTokenPrincipal(value: string): void {
    const slash = value.lastIndexOf("/");
    const subject = slash < 0 ? "" : value.slice(slash + 1);
    this.addLanguage("claim [sub]", NOT_EMPTY);
    this.addPattern("claim [sub]", subject);
    if (slash < 0) this.addPattern("claim [sub]", value);
  }
}

const NAMESPACE_FIELDS: ReadonlySet<string> = new Set(["namespaces", "source.namespace"]);
const ACCOUNT_FIELDS: ReadonlySet<string> = new Set(["serviceAccounts", "source.serviceAccount"]);
const TRUST_DOMAIN_FIELDS: ReadonlySet<string> = new Set(["trustDomains", "source.trustDomain"]);

const NO_SLASH: Characters = { but: true, text: "/" };

/** A star is anything under Istio's semantics, and anything but a slash under strict ones; there are no names but `spiffe://TD/ns/N/sa/A`. */
function namespaceLanguages(value: string): readonly TextLanguage[] {
  const whole = (star: Piece): readonly Piece[] => [
    ...literal("spiffe://"),
    some(NO_SLASH),
    ...literal("/ns/"),
    ...withStars(value, star),
    ...literal("/"),
    any(),
  ];
  const own = { label: `namespace ${value}`, pieces: whole(any(NO_SLASH)) };
  return value.includes("*")
    ? [own, { label: `namespace ${value}, with slashes`, pieces: whole(any()) }]
    : [own];
}

function trustDomainLanguage(value: string): TextLanguage {
  const pieces = [...literal("spiffe://"), ...withStars(value, any(NO_SLASH)), ...literal("/"), any()];
  return { label: `trust domain ${value}`, pieces };
}

function withStars(value: string, star: Piece): readonly Piece[] {
  return [...value].flatMap((character) => (character === "*" ? [star] : literal(character)));
}

const IN_SEGMENT = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%!$&'()+,;:@=";
const SEGMENT: Characters = { but: false, text: IN_SEGMENT };
const SEGMENTS: Characters = { but: false, text: `${IN_SEGMENT}/` };

function templateLanguage(value: string): TextLanguage | undefined {
  const template = parsePathTemplate(value);
  if (template === undefined) return undefined;
  const head = template.head.flatMap((piece) => (piece === null ? [some(SEGMENT)] : literal(piece)));
  const tail = template.tail === null ? [] : [any(SEGMENTS), ...literal(template.tail)];
  return { label: value, pieces: [...head, ...tail] };
}
