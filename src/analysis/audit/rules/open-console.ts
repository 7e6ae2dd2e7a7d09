import type { AuditContext } from "../audit-context.ts";
import { containersOf, podsOf } from "../facts/pods.ts";
import { textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const openConsole: AuditRule = {
  id: "BW0524",
  title: "A way to the API server that asks nobody who he is",
  severity: "high",
  attacks: ["C6"],
  what: "Containers that run `kubectl proxy` for others than themselves (`--address` other than a loopback address), and Kubernetes' Dashboard with `--enable-skip-login`, `--disable-settings-authorizer` or `--enable-insecure-login`.",
  why: "Whoever reaches the port has the rights of the pod's account at the API server: no token is asked for, or it comes in clear.",
  fix: "Remove the flag; have people log in at the API server themselves, or stand a proxy before it that asks.",
  claims: ["rights-of-nobody", "surface-named"],
  check: consoles,
};

const LOOPBACK = /^(127\.|::1$|localhost$)/;
const DASHBOARD = /^--(enable-skip-login|disable-settings-authorizer|enable-insecure-login)(=true)?$/;

function* consoles(audit: AuditContext): Iterable<Hit> {
  for (const pod of audit.fact(podsOf))
    for (const { name, image, container, path } of containersOf(pod)) {
      const words = [...textsOf(container.command), ...textsOf(container.args)];
      const flag = /(^|[/-])dashboard(-web|-api)?([:@]|$)/.test(image)
        ? words.find((word) => DASHBOARD.test(word))
        : undefined;
      const address = proxyAddress(words, image);
      if (flag === undefined && (address === undefined || LOOPBACK.test(address))) continue;
      yield {
        resource: pod.resource,
        path,
        title:
          flag === undefined
            ? `container \`${name}\` is \`kubectl proxy\` for everybody who reaches \`${address}\``
            : `container \`${name}\` runs the Dashboard with \`${flag}\``,
      };
    }
}

/** What `kubectl proxy` listens at; undefined where it is something else, or at its default, the loopback. */
function proxyAddress(words: readonly string[], image: string): string | undefined {
  const isKubectl = words[0]?.split("/").at(-1) === "kubectl" || /(^|\/)kubectl([:@]|$)/.test(image);
  if (!isKubectl || !words.includes("proxy")) return undefined;
  const at = words.indexOf("--address");
  return (
    words.find((word) => word.startsWith("--address="))?.slice("--address=".length) ??
    (at < 0 ? undefined : words[at + 1])
  );
}
