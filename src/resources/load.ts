import { readFile, stat } from "node:fs/promises";
import type { Diagnostic } from "./diagnostic.ts";
import { type Kustomization, kustomizationDiagnostic } from "./kustomization.ts";
import { listFiles, MAX_FILE_BYTES, systemReason, unreadable, wholeFile } from "./list-files.ts";
import { type ReadFile, ReadFiles, type ReadObject } from "./read-files.ts";
import type { SourceObject } from "./read-objects.ts";
import { type Resource, resourceName } from "./resource.ts";
import { apiGroup, isLocalConfiguration } from "./scope.ts";
import { createdAtOf, resourceFromJson } from "./wire.ts";

/** A resource that takes no part, with every reason. */
export interface RejectedResource {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly errors: readonly Diagnostic[];
  /** As it was written: its fields may be of any type. Absent where not even an object could be made of it. */
  readonly resource?: Resource;
}

export interface LoadedResources {
  readonly resources: readonly Resource[];
  readonly rejected: readonly RejectedResource[];
  /** Problems of files rather than of resources, and warnings. */
  readonly diagnostics: readonly Diagnostic[];
  readonly files: readonly string[];
  /** Of these, the ones with nothing in them but white space. */
  readonly blankFiles: readonly string[];
}

export interface LoadOptions {
  /**
   * Whether a resource takes part although it has these errors, which are reported as warnings then: for questions that they do not touch. Whoever
   * says so has to read its fields as of any type.
   */
  readonly tolerates?: (object: SourceObject, errors: readonly Diagnostic[]) => boolean;
  /** What was read before: a file with the same text is not read again. One for each set of paths. */
  readonly known?: ReadFiles;
}

/**
 * Reads every YAML and JSON file of the folders and files named, in the order named, folders sorted by name. Never
 * rejects: whatever is wrong is in `rejected` (a resource, with all its errors) or in `diagnostics` (the rest).
 */
export async function loadResources(
  paths: readonly string[],
  options: LoadOptions = {},
): Promise<LoadedResources> {
  const diagnostics: Diagnostic[] = [];
  const report = (problem: Diagnostic): void => void diagnostics.push(problem);
  const files = await listFiles(paths, report);
  const loading = new Loading(report, options);
  const { known = new ReadFiles() } = options;
  const blankFiles: string[] = [];
  for (const file of files) {
    const text = await readText(file, report);
    if (text === undefined) continue;
    if (!/\S/.test(text)) blankFiles.push(file);
    loading.add(await known.read(file, text));
  }
  known.finish();
  loading.finish();
  return { resources: loading.resources(), rejected: loading.rejected, diagnostics, files, blankFiles };
}

/** As {@link loadResources}, of texts that are in memory already. */
export async function loadTexts(
  texts: readonly { readonly file: string; readonly text: string }[],
): Promise<LoadedResources> {
  const diagnostics: Diagnostic[] = [];
  const report = (problem: Diagnostic): void => void diagnostics.push(problem);
  const loading = new Loading(report, {});
  const read = new ReadFiles();
  for (const { file, text } of texts) loading.add(await read.read(file, text));
  loading.finish();
  const files = texts.map(({ file }) => file);
  return { resources: loading.resources(), rejected: loading.rejected, diagnostics, files, blankFiles: [] };
}

/** What has been read so far. A later document with the same name replaces the earlier, as `kubectl apply` would. */
class Loading {
  readonly rejected: RejectedResource[] = [];
  readonly #report: (problem: Diagnostic) => void;
  readonly #byKey = new Map<string, Resource>();
  /** Files with objects. */
  readonly #files: string[] = [];
  readonly #kustomizations: Kustomization[] = [];
  readonly #tolerates: NonNullable<LoadOptions["tolerates"]>;
  #sequence = 0;

  constructor(report: (problem: Diagnostic) => void, { tolerates = () => false }: LoadOptions) {
    this.#report = report;
    this.#tolerates = tolerates;
  }

  resources(): Resource[] {
    return [...this.#byKey.values()];
  }

  /** All files have been added. */
  finish(): void {
    for (const own of this.#kustomizations) this.#report(kustomizationDiagnostic(own, this.#files));
  }

  add({ objects, problems, kustomizations }: ReadFile): void {
    for (const problem of problems) this.#report(problem);
    this.#kustomizations.push(...kustomizations);
    const [first] = objects;
    if (first !== undefined) this.#files.push(first.object.file);
    for (const read of objects) this.#addObject(read);
  }

  #addObject(read: ReadObject): void {
    const { object, namespace, validated } = read;
    const { apiVersion, kind, name } = object;
    const { errors, warnings } = validated;
    for (const warning of warnings) this.#report(warning);
    if (errors.length > 0 && !this.#tolerates(object, errors)) {
      this.rejected.push({
        kind,
        namespace,
        name,
        errors,
        resource: takenAs(read, createdAtOf(validated.body, 0)),
      });
      return;
    }
    for (const error of errors) this.#report({ ...error, severity: "warning" });
    // Each machine has its own: two of one name are two.
    const home = isLocalConfiguration(apiVersion) ? placeOf(object) : namespace;
    const key = `${apiGroup(apiVersion)}/${kind}/${home}/${name}`;
    const before = this.#byKey.get(key);
    // An update keeps the age of the object; Map.set keeps its place.
    const createdAt = before?.createdAt ?? createdAtOf(validated.body, this.#sequence++);
    const resource = takenAs(read, createdAt);
    if (before !== undefined) this.#report(repeated(before, resource));
    this.#byKey.set(key, resource);
  }
}

function placeOf({ file, locate }: SourceObject): string {
  const { line, column } = locate([]);
  return `${file}:${line}:${column}`;
}

function takenAs(read: ReadObject, createdAt: number): Resource {
  const { object, validated, taken } = read;
  if (taken?.createdAt === createdAt) return taken;
  const resource = resourceFromJson(validated.body, { file: object.file, createdAt }, object.locate);
  read.taken = resource;
  return resource;
}

function repeated(before: Resource, resource: Resource): Diagnostic {
  const first = before.locate(["metadata", "name"]);
  const same = JSON.stringify(before.body) === JSON.stringify(resource.body);
  return {
    code: "BW1014_REPEATED_RESOURCE",
    severity: same ? "info" : "warning",
    message: `stands twice: first at ${first.file}:${first.line}:${first.column}, again here; this one counts`,
    resource: resourceName(resource),
    span: resource.locate(["metadata", "name"]),
    help: "remove one of the two, or give them different names",
  };
}

const UTF8 = new TextDecoder("utf-8", { fatal: true });

async function readText(file: string, report: (problem: Diagnostic) => void): Promise<string | undefined> {
  try {
    const { size } = await stat(file);
    if (size > MAX_FILE_BYTES) {
      report(tooLarge(file, size));
      return undefined;
    }
    const bytes = await readFile(file);
    if (bytes.includes(0)) throw new TypeError("NUL");
    return UTF8.decode(bytes);
  } catch (error) {
    report(error instanceof TypeError ? notText(file) : unreadable(file, systemReason(error)));
    return undefined;
  }
}

function notText(file: string): Diagnostic {
  return {
    code: "BW1002_NOT_TEXT",
    severity: "error",
    message: `\`${file}\` is no UTF-8 text`,
    span: wholeFile(file),
    help: "save it as UTF-8, or keep it out of this folder",
  };
}

function tooLarge(file: string, bytes: number): Diagnostic {
  return {
    code: "BW1003_FILE_TOO_LARGE",
    severity: "error",
    message: `\`${file}\` has ${bytes} bytes; the most that is read is ${MAX_FILE_BYTES}`,
    span: wholeFile(file),
    help: "split it into several files",
  };
}
