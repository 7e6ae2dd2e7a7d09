import { type Document, isAlias, isMap, isScalar, isSeq, parseAllDocuments } from "yaml";

/** A Kubernetes object as the second parser found it. */
export interface SecondObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly identity: readonly string[];
  readonly node: SecondNode;
}

/** A node of the second parser's tree, with the document that its aliases are looked up in. */
export interface SecondNode {
  readonly node: unknown;
  readonly document: Document;
}

export interface SecondReading {
  /** Objects with a name in documents without a fault. */
  readonly objects: readonly SecondObject[];
  /** Whether no document has a fault, and none has what the two are known to read differently (merge keys, own tags). */
  readonly whole: boolean;
}

/** Scalars stay text: which text means a number is judged when compared. */
export function secondReading(text: string): SecondReading {
  if (text.includes("<<")) return { objects: [], whole: false };
  const documents = parseSecond(text.replace(/^\uFEFF/, ""));
  if (documents === undefined) return { objects: [], whole: false };
  const sound = documents.filter(({ errors, warnings }) => errors.length + warnings.length === 0);
  const objects = sound.flatMap((document) => objectsIn({ node: document.contents, document }, 0));
  return { objects, whole: sound.length === documents.length };
}

/** Undefined for what is nested deeper than its recursion goes: ours refuses such texts. */
function parseSecond(text: string): readonly Document[] | undefined {
  try {
    const read = parseAllDocuments(text, { schema: "failsafe", logLevel: "silent" });
    return Array.isArray(read) ? read : [];
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function objectsIn(place: SecondNode, depth: number): SecondObject[] {
  const apiVersion = scalarAt(place, "apiVersion");
  const kind = scalarAt(place, "kind");
  if (apiVersion === undefined || kind === undefined || depth > 19) return [];
  const items = child(place, "items");
  const resolved = resolve(items);
  if (kind.endsWith("List") && items !== undefined && isSeq(resolved) && child(place, "spec") === undefined)
    return resolved.items.flatMap((node) => objectsIn({ node, document: place.document }, depth + 1));
  const metadata = child(place, "metadata");
  const name = metadata === undefined ? undefined : scalarAt(metadata, "name");
  return name === undefined
    ? []
    : [{ apiVersion, kind, name, identity: [apiVersion, kind, name], node: place }];
}

function resolve(place: SecondNode | undefined): unknown {
  return place !== undefined && isAlias(place.node) ? place.node.resolve(place.document) : place?.node;
}

function child(place: SecondNode, key: string): SecondNode | undefined {
  const node = resolve(place);
  if (!isMap(node)) return undefined;
  const pair = node.items.find((item) => isScalar(item.key) && item.key.value === key);
  return pair === undefined ? undefined : { node: pair.value, document: place.document };
}

function scalarAt(place: SecondNode, key: string): string | undefined {
  const node = resolve(child(place, key));
  return isScalar(node) && typeof node.value === "string" && node.value !== "" ? node.value : undefined;
}

/** Where the value is another than the node's; undefined where they say the same. */
export function differsFrom(value: unknown, place: SecondNode, path = "$"): string | undefined {
  const node = resolve(place);
  const within = (inner: unknown, next: unknown, key: string): string | undefined =>
    differsFrom(inner, { node: next, document: place.document }, `${path}.${key}`);
  if (isSeq(node)) {
    if (!Array.isArray(value) || value.length !== node.items.length) return `${path}: another list`;
    return firstDifference(node.items.map((item, index) => within(value[index], item, String(index))));
  }
  if (isMap(node)) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return `${path}: no map`;
    const own = value as Readonly<Record<string, unknown>>;
    const keys = node.items.map(({ key }) => keyText(resolve({ node: key, document: place.document })));
    const more = Object.keys(own).filter((key) => !keys.includes(key));
    if (more.length > 0) return `${path}: ${more.join(" ")} are not in the text`;
    return firstDifference(
      node.items.map((pair, index) => within(own[keys[index] ?? ""], pair.value, keys[index] ?? "")),
    );
  }
  return scalarDiffers(value, node) ? `${path}: ${JSON.stringify(value)} for ${String(node)}` : undefined;
}

function firstDifference(differences: readonly (string | undefined)[]): string | undefined {
  return differences.find((difference) => difference !== undefined);
}

function keyText(node: unknown): string {
  return isScalar(node) ? String(node.value) : "";
}

const NULLS = /^(~|null|Null|NULL|)$/;
const TRUE = /^(y|Y|yes|Yes|YES|on|On|ON|true|True|TRUE)$/;
const FALSE = /^(n|N|no|No|NO|off|Off|OFF|false|False|FALSE)$/;
const DECIMAL = /^[-+]?(0|[1-9]\d*)$/;

/** Plain scalars as the API server's parser takes them; quoted ones are text. */
function scalarDiffers(value: unknown, node: unknown): boolean {
  if (node === null || node === undefined) return value !== null && value !== undefined;
  if (!isScalar(node) || typeof node.value !== "string") return true;
  const text = node.value;
  const isPlain = node.type === "PLAIN" && node.tag === undefined;
  if (!isPlain)
    return node.tag === undefined || node.tag === "tag:yaml.org,2002:str" ? value !== text : false;
  if (value === null || value === undefined) return !NULLS.test(text);
  if (typeof value === "boolean") return !(value ? TRUE : FALSE).test(text);
  if (typeof value === "number") return DECIMAL.test(text) ? Number(text) !== value : !/^[-+.]?\d/.test(text);
  return (
    value !== text ||
    NULLS.test(text) ||
    (TRUE.test(text) && text.length > 1) ||
    (FALSE.test(text) && text.length > 1) ||
    DECIMAL.test(text)
  );
}
