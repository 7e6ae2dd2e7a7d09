/** Logs, versions, signatures: where silence of the files shows nothing. */
import { containersOf, podsOf } from "../../audit/facts/pods.ts";
import { fieldsOf, itemsOf, listOf, textOf } from "../../audit/facts/written.ts";
import { type ClaimEvidence, type ClaimInput, findingLines, notShown } from "../claim.ts";

export function accessLogged({ audit, findings }: ClaimInput): ClaimEvidence {
  const wrong = findingLines(findings.filter(({ rule }) => rule === "BW0157"));
  if (wrong.length > 0) return { status: "refuted", evidence: wrong };
  const { accessLogFile, defaultProviders } = audit.mesh.config.raw;
  const root = audit.of("telemetry.istio.io", "Telemetry").filter(({ namespace, spec }) => {
    const { accessLogging, selector } = fieldsOf(spec);
    return (
      namespace === audit.mesh.config.rootNamespace &&
      selector === undefined &&
      [...itemsOf(accessLogging)].some(([, one]) => one.disabled !== true)
    );
  });
  if (textOf(accessLogFile) !== "")
    return { status: "shown", evidence: [`accessLogFile of the mesh is ${textOf(accessLogFile)}`] };
  if (listOf(fieldsOf(defaultProviders).accessLogging).length > 0)
    return { status: "shown", evidence: ["defaultProviders.accessLogging of the mesh is set"] };
  const [first] = root;
  if (first !== undefined)
    return {
      status: "shown",
      evidence: [`Telemetry ${first.namespace}/${first.name} switches access logs on for the mesh`],
    };
  return notShown(
    "neither the mesh's configuration nor a Telemetry of the root namespace switches access logs on",
  );
}

/** `not shown` where what the rules need is not there: no version, no signature. */
export function versionsCurrent(input: ClaimInput): ClaimEvidence {
  const wrong = findingLines(input.findings.filter(({ rule }) => rule === "BW0710"));
  if (wrong.length > 0) return { status: "refuted", evidence: wrong };
  const unknown = findingLines(input.findings.filter(({ rule }) => rule === "BW0711" || rule === "BW0712"));
  if (unknown.length > 0) return notShown(...unknown);
  const proxies = input.audit
    .fact(podsOf)
    .filter((pod) => containersOf(pod).some(({ image }) => /istio|envoy/.test(image)));
  return proxies.length === 0
    ? notShown("the files name no version of Istio, Envoy or Kubernetes")
    : { status: "shown", evidence: ["no advisory is known for the versions in the files"] };
}

export function imagesSigned(input: ClaimInput): ClaimEvidence {
  const wrong = findingLines(input.findings.filter(({ rule }) => rule === "BW0705" || rule === "BW0706"));
  if (wrong.length > 0) return { status: "refuted", evidence: wrong };
  const verified = input.audit.settings.trust?.signatures?.size ?? 0;
  return verified === 0
    ? notShown("no signatures were given to be verified (bulwark audit --help)")
    : { status: "shown", evidence: [`the signatures of all ${verified} images were verified`] };
}
