/** Logs, versions, signatures: where silence of the files shows nothing. */
import { advisoriesOf, auditedVersions } from "../../audit/facts/advisories.ts";
import { imagesOf } from "../../audit/facts/images.ts";
import { fieldsOf, itemsOf, listOf, textOf } from "../../audit/facts/written.ts";
import { ADVISORIES_STALE_DAYS, advisoryAgeDays } from "../../trust/advisories/advisories-for.ts";
import { type ClaimEvidence, type ClaimInput, findingLines, notShown } from "../claim.ts";

export function accessLogged({ audit, findings }: ClaimInput): ClaimEvidence {
  if (findings.length > 0) return { status: "refuted", evidence: findingLines(findings) };
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

/** `not shown` where what the rules need is not there, or not new enough to say anything. */
export function versionsCurrent({ audit, findings }: ClaimInput): ClaimEvidence {
  const wrong = findingLines(findings.filter(({ rule }) => rule === "BW0710"));
  if (wrong.length > 0) return { status: "refuted", evidence: wrong };
  const data = audit.fact(advisoriesOf);
  const days = advisoryAgeDays(data, audit.settings.now);
  if (days > ADVISORIES_STALE_DAYS)
    return notShown(
      `the advisories are of ${data.date}, ${days} days old: what was published since is not known (\`bulwark audit --update FILE\`)`,
    );
  if (findings.length > 0) return notShown(...findingLines(findings));
  const versions = audit.fact(auditedVersions);
  return versions.length === 0
    ? notShown("the files name no version of Istio, Envoy or Kubernetes")
    : {
        status: "shown",
        evidence: [
          `no advisory of ${data.date} is known for ${versions.map(({ component, version }) => `${component} ${version ?? ""}`.trim()).join(", ")}`,
        ],
      };
}

/** Whom images may come from is for whoever asks to say. */
export function imagesPinned({ audit, findings }: ClaimInput): ClaimEvidence {
  if (findings.length > 0) return { status: "refuted", evidence: findingLines(findings) };
  const images = audit.fact(imagesOf).length;
  if (images === 0) return notShown("the files have no images");
  return audit.settings.trust?.registries === undefined
    ? notShown("no registry was named as trusted (`--trusted-registry`)")
    : {
        status: "shown",
        evidence: [`each of ${images} images is by digest, from a registry that was named`],
      };
}

export function imagesSigned(input: ClaimInput): ClaimEvidence {
  const wrong = findingLines(input.findings.filter(({ rule }) => rule === "BW0705" || rule === "BW0706"));
  if (wrong.length > 0) return { status: "refuted", evidence: wrong };
  const verified = input.audit.settings.trust?.signatures?.size ?? 0;
  return verified === 0
    ? notShown("no signatures were given to be verified (bulwark audit --help)")
    : { status: "shown", evidence: [`the signatures of all ${verified} images were verified`] };
}
