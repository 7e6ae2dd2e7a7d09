/** From the text of a file to validated objects, and what was read before to be used again. */
import type { Diagnostic } from "./diagnostic.ts";
import { type Kustomization, kustomizationIn } from "./kustomization.ts";
import { readDocuments } from "./read-documents.ts";
import { readObjects, type SourceObject } from "./read-objects.ts";
import type { Resource } from "./resource.ts";
import { type Validated, validateObject } from "./validate/validate.ts";
import { namespaceOf } from "./wire.ts";

export interface ReadObject {
  readonly object: SourceObject;
  readonly namespace: string;
  readonly validated: Validated;
  /** What the object was taken for when it was last loaded: the same again, if it is as old. */
  taken?: Resource;
}

export interface ReadFile {
  readonly text: string;
  readonly objects: readonly ReadObject[];
  /** Of kustomize's own: what they come to hangs on the other files. */
  readonly kustomizations: readonly Kustomization[];
  /** Of the file; what is wrong with an object stands with it. */
  readonly problems: readonly Diagnostic[];
}

/**
 * Files as they were read last. Whoever loads the same paths again with it reads only those anew whose text has changed, and gets the same
 * resource for an object that has not, so that what was made of it can be kept by its identity.
 */
export class ReadFiles {
  #known = new Map<string, ReadFile>();
  #next = new Map<string, ReadFile>();

  async read(file: string, text: string): Promise<ReadFile> {
    const known = this.#known.get(file);
    const read = known?.text === text ? known : await readFileText(file, text);
    this.#next.set(file, read);
    return read;
  }

  /** All have been read: what was not asked for is forgotten. */
  finish(): void {
    this.#known = this.#next;
    this.#next = new Map();
  }
}

async function readFileText(file: string, text: string): Promise<ReadFile> {
  const problems: Diagnostic[] = [];
  const objects: ReadObject[] = [];
  const report = (problem: Diagnostic): void => void problems.push(problem);
  const kustomizations: Kustomization[] = [];
  for (const document of readDocuments(file, text, report)) {
    const kustomization = kustomizationIn(document);
    if (kustomization !== undefined) {
      kustomizations.push(kustomization);
      continue;
    }
    for (const object of readObjects(document, report)) {
      const metadata = (object.body.metadata ?? {}) as Readonly<Record<string, unknown>>;
      const namespace = namespaceOf(object.apiVersion, object.kind, metadata);
      objects.push({ object, namespace, validated: await validateObject(object, namespace) });
    }
  }
  return { text, objects, kustomizations, problems };
}
