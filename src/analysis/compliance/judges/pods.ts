/** What workloads are and may, as their pods are written. */

import { judgedPods } from "../../audit/facts/pod-security.ts";
import { containersOf, PROXY_CONTAINER, podsOf, SYSTEM_NAMESPACES } from "../../audit/facts/pods.ts";
import { podsInMesh } from "../../audit/facts/pods-in-mesh.ts";
import { fieldsOf, textsOf } from "../../audit/facts/written.ts";
import { brokenControlsOf } from "../../trust/pod-security/check-pod-security.ts";
import {
  type ClaimEvidence,
  type ClaimInput,
  findingLines,
  type Judge,
  judged,
  notShown,
  shortened,
} from "../claim.ts";

export function ownAccounts({ audit }: ClaimInput): ClaimEvidence {
  const applications = audit.mesh.workloads.filter(
    ({ role, namespace }) => role === "application" && !SYSTEM_NAMESPACES.has(namespace),
  );
  const byAccount = Map.groupBy(applications, ({ spiffeId }) => spiffeId);
  const wrong = [
    ...applications
      .filter(({ serviceAccount }) => serviceAccount === "default")
      .map(({ key }) => `${key} runs as the default account of its namespace`),
    ...[...byAccount]
      .filter(([, sharing]) => sharing.length > 1)
      .map(([account, sharing]) => `${account} is shared by ${sharing.map(({ key }) => key).join(", ")}`),
  ];
  return judged(
    applications.length,
    shortened(wrong),
    `each of ${applications.length} workloads has a service account of its own`,
    "the files have no workload",
  );
}

/**
 * Every pod but Kubernetes' own is asked, Istio's among them: a framework makes no exceptions.
 * @param controls of the Pod Security Standards, as admission names them; all of the level baseline where none is named
 * @param good what pods do that break none of them
 * @param start only breaches whose text starts so count
 */
export function withoutControls(controls: readonly string[], good: string, start = ""): Judge {
  const asked = new Set(controls);
  // At the level restricted a stricter control stands in for this one.
  const level = asked.size === 0 || asked.has("hostPathVolumes") ? "baseline" : "restricted";
  return ({ audit }) => {
    const pods = audit.fact(podsOf).filter(({ namespace }) => !SYSTEM_NAMESPACES.has(namespace));
    const wrong = pods.flatMap(({ resource }) =>
      brokenControlsOf(resource, level)
        .filter(
          ({ control, breaches }) =>
            (asked.size === 0 || asked.has(control)) && breaches.some(({ text }) => text.startsWith(start)),
        )
        .map(({ control }) => `${resource.kind} ${resource.namespace}/${resource.name} breaks ${control}`),
    );
    return judged(pods.length, shortened(wrong), `${pods.length} pods ${good}`, "the files have no pod");
  };
}

export function rawPacketsDropped({ audit }: ClaimInput): ClaimEvidence {
  const all = audit
    .fact(podsOf)
    .filter(({ namespace }) => !SYSTEM_NAMESPACES.has(namespace))
    .flatMap((pod) => containersOf(pod).map((one) => ({ ...one, resource: pod.resource })));
  const wrong = all.filter(({ container }) => {
    const dropped = textsOf(fieldsOf(fieldsOf(container.securityContext).capabilities).drop);
    return !dropped.includes("ALL") && !dropped.includes("NET_RAW");
  });
  return judged(
    all.length,
    shortened(
      wrong.map(
        ({ name, resource }) =>
          `container ${name} of ${resource.kind} ${resource.namespace}/${resource.name} keeps NET_RAW`,
      ),
    ),
    `each of ${all.length} containers drops NET_RAW`,
    "the files have no container",
  );
}

/** Every namespace with pods enforces a level, for what is injected, too; what other admission there is shows nothing, as it is not read. */
/** @param levels that are enough */
export function admissionHeld(levels: RegExp): Judge {
  return (input) => heldAt(input, levels);
}

function heldAt({ audit, findings }: ClaimInput, levels: RegExp): ClaimEvidence {
  const used = new Set(audit.fact(judgedPods).map(({ namespace }) => namespace));
  const namespaces = audit.of("", "Namespace").filter(({ name }) => used.has(name));
  const held = namespaces.filter(({ labels }) => levels.test(labels[ENFORCE] ?? ""));
  if (findings.length > 0) return { status: "refuted", evidence: findingLines(findings) };
  return held.length < used.size || used.size === 0
    ? notShown(
        `of ${used.size} namespaces with pods ${held.length} are among the files with a label \`${ENFORCE}\` that is enough`,
      )
    : {
        status: "shown",
        evidence: [`each of ${held.length} namespaces with pods enforces a Pod Security Standard`],
      };
}

/** What the injector gives a pod is in its templates, which are not read: proxies are judged where they are written out. */
export function proxiesLeastPrivilege({ audit, findings }: ClaimInput): ClaimEvidence {
  if (findings.length > 0) return { status: "refuted", evidence: findingLines(findings) };
  const inMesh = [...audit.fact(podsInMesh).values()].flat();
  const ambient = new Set(
    audit.mesh.workloads.filter(({ dataplane }) => dataplane === "ambient").map(({ resource }) => resource),
  );
  const injected = inMesh.filter(
    (pod) => !ambient.has(pod.resource) && containersOf(pod).every(({ name }) => name !== PROXY_CONTAINER),
  );
  if (injected.length > 0)
    return notShown(
      `${injected.length} pods are injected as they are made: their proxies are not in the files`,
    );
  return inMesh.length === 0
    ? notShown("the files have no pod of the mesh")
    : { status: "shown", evidence: [`nothing found of the proxies of ${inMesh.length} pods`] };
}

const ENFORCE = "pod-security.kubernetes.io/enforce";
