import type { AuditContext } from "../audit-context.ts";
import { containersOf, podsOf } from "../facts/pods.ts";
import { fieldsOf, itemsOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const secretInEnvironment: AuditRule = {
  id: "BW0852",
  title: "Secrets in a container's environment",
  severity: "low",
  attacks: ["C1"],
  what: "Containers with variables that are filled from a Secret (`secretKeyRef`, or `envFrom` with a `secretRef`): one finding a container.",
  why: "Every process of the container inherits the environment; crash reports, debugging pages and `kubectl describe` of children show it, and it does not change when the Secret does.",
  fix: "Mount the Secret as a file that the one process reads.",
  claims: ["secrets-as-files"],
  check: inherited,
};

function* inherited(audit: AuditContext): Iterable<Hit> {
  for (const pod of audit.fact(podsOf))
    for (const { name, container, path } of containersOf(pod)) {
      const single = [...itemsOf(container.env)].flatMap(([index, { valueFrom }]) => {
        const { name: secret } = fieldsOf(fieldsOf(valueFrom).secretKeyRef);
        return secret === undefined ? [] : [{ secret: textOf(secret), path: [...path, "env", index] }];
      });
      const whole = [...itemsOf(container.envFrom)].flatMap(([index, { secretRef }]) =>
        secretRef === undefined
          ? []
          : [{ secret: textOf(fieldsOf(secretRef).name), path: [...path, "envFrom", index] }],
      );
      const [first] = [...single, ...whole];
      if (first === undefined) continue;
      const secrets = [...new Set([...single, ...whole].map(({ secret }) => `\`${secret}\``))];
      yield {
        resource: pod.resource,
        path: first.path,
        title: `container \`${name}\` has ${secrets.length === 1 ? "Secret" : "Secrets"} ${secrets.join(", ")} in its environment`,
      };
    }
}
