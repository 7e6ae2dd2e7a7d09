/** Kubernetes' own components where their pods are among the files (static pods of `/etc/kubernetes/manifests`), and the flags they run with. */
import type { FieldPath, Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { containersOf, podsOf } from "./pods.ts";
import { textsOf } from "./written.ts";

export const COMPONENTS = [
  "kube-apiserver",
  "kube-controller-manager",
  "kube-scheduler",
  "etcd",
  "kubelet",
] as const;

export type ComponentName = (typeof COMPONENTS)[number];

export interface Component {
  readonly name: ComponentName;
  readonly resource: Resource;
  /** Of the container, for what is not written. */
  readonly path: FieldPath;
  readonly flags: ReadonlyMap<string, Flag>;
}

export interface Flag {
  readonly value: string;
  readonly path: FieldPath;
}

/** Told by the program that the container starts: images and labels are anybody's. */
export function components(audit: AuditContext): readonly Component[] {
  return audit.fact(podsOf).flatMap((pod) =>
    containersOf(pod).flatMap(({ container, path }): Component[] => {
      const command = textsOf(container.command);
      const program = command[0]?.split("/").at(-1);
      const name = COMPONENTS.find((one) => one === program);
      if (name === undefined) return [];
      const words = [
        ...placed(command, [...path, "command"]).slice(1),
        ...placed(textsOf(container.args), [...path, "args"]),
      ];
      return [{ name, resource: pod.resource, path, flags: flagsOf(words) }];
    }),
  );
}

interface Word {
  readonly text: string;
  readonly path: FieldPath;
}

function placed(words: readonly string[], at: FieldPath): readonly Word[] {
  return words.map((text, index) => ({ text, path: [...at, index] }));
}

/** `--name=value`, `--name value`, and `--name` for true; of one that is given twice the last counts. */
function flagsOf(words: readonly Word[]): ReadonlyMap<string, Flag> {
  const flags = new Map<string, Flag>();
  for (const [index, { text, path }] of words.entries()) {
    const [, name, value] = /^--?([a-z0-9-]+)(?:=(.*))?$/s.exec(text) ?? [];
    if (name === undefined) continue;
    const next = words[index + 1]?.text;
    const apart = next === undefined || next.startsWith("-") ? "true" : next;
    flags.set(name, { value: value ?? apart, path });
  }
  return flags;
}
