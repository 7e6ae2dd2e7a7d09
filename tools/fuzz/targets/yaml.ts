import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { buildMesh } from "../../../src/model/build-mesh.ts";
import { unsupported } from "../../../src/resources/coverage.ts";
import type { Diagnostic } from "../../../src/resources/diagnostic.ts";
import { type LoadedResources, loadResources } from "../../../src/resources/load.ts";
import { type Resource, resourceName } from "../../../src/resources/resource.ts";
import { apiGroup } from "../../../src/resources/scope.ts";
import { differsFrom, type SecondObject, secondReading } from "../second-yaml.ts";
import { seedTexts } from "../seed-files.ts";
import { type FuzzTarget, law } from "../target.ts";

const SECURITY: ReadonlySet<string> = new Set([
  "AuthorizationPolicy",
  "PeerAuthentication",
  "RequestAuthentication",
]);
const WORDS =
  'apiVersion: security.istio.io/v1\n|kind: AuthorizationPolicy\n|kind: PeerAuthentication\n|kind: List\nitems:\n|metadata:\n  name: a\n|spec:\n|  action: DENY\n|  action: ALLOW\n|  rules:\n|  - {}\n|- from:\n|rules: []|principals: ["*"]|notPrincipals:|paths: ["/a"]|selector:|matchLabels: |mode: STRICT|mode: DISABLE|namespace: b|---\n|...\n|- |  |\t|\r|\n|\r\n|\n  |: |:|{|}|[|]|,|&a |*a|<<: *a|!!str |!!map |!x |"|\'|\\|>\n|>-\n|#| #|?| ? |%YAML 1.2\n|\u0085|\u2028|\uFEFF|~|null|yes|no|on|0x1|012|1_0|1e3|.inf|12:30|\u{1F600}|\u0000|\\u0041|{{ .x }}|items: '.split(
    "|",
  );

/** The text of one file. */
export const yamlTarget: FuzzTarget = {
  name: "yaml",
  about:
    "files: resources or problems with places; security resources are whole, known, never lost, and what a second parser reads",
  open: async () => {
    const folder = mkdtempSync(join(tmpdir(), "bulwark-fuzz-"));
    const file = join(folder, "mesh.yaml");
    return {
      seeds: seeds(),
      words: [
        ...WORDS.map((word) => Buffer.from(word, "utf8")),
        Buffer.from("|\n"),
        Buffer.from("|-\n"),
        Buffer.from([0xff]),
        Buffer.from([0xc3]),
      ],
      maxInputBytes: 24 * 1024,
      check: async (input) => {
        writeFileSync(file, input);
        const loaded = await loadResources([file]);
        const problems = [...loaded.diagnostics, ...loaded.rejected.flatMap(({ errors }) => errors)];
        const text = input.toString("utf8");
        checkPlaces(text, problems);
        checkWhole(loaded);
        buildMesh(loaded.resources);
        const compared = checkSecond(text, loaded, problems);
        const codes = new Set(problems.map(({ code }) => code.slice(0, 6)));
        return `${[...codes].sort().slice(0, 4).join(",")} ${compared}`;
      },
      close: () => rmSync(folder, { recursive: true, force: true }),
    };
  },
};

function seeds(): Buffer[] {
  const meshes = seedTexts(
    "../shared/corpus/0[0-3]*/mesh.yaml",
    "../shared/corpus-ambient/0[0-1]*/mesh.yaml",
    "../shared/corpus-outbound/0[0-1]*/mesh.yaml",
  );
  const policies = meshes
    .flatMap((text) => text.split(/^---\n/m))
    .filter((text) => /^kind: (Auth|Peer|Request|Sidecar|Gateway)/m.test(text));
  const files = seedTexts("../shared/scenarios/*/*.yaml", "../shared/real/*/*.yaml", "examples/*/*.yaml");
  return [...policies.filter((_text, index) => index % 3 === 0), ...files, ...meshes.slice(0, 8)]
    .filter((text) => text.length < 16_000)
    .map((text) => Buffer.from(text));
}

function checkPlaces(text: string, problems: readonly Diagnostic[]): void {
  const lines = text.split(/\r\n|\r|\n/);
  for (const { code, message, span } of problems) {
    law(
      /^BW\d{4}_[A-Z0-9_]+$/.test(code) && !/[\r\n]/.test(message),
      "a problem is one line with a code",
      () => JSON.stringify([code, message]),
    );
    law(span !== undefined, "a problem has a place", () => code);
    law(
      span.line >= 1 && span.line <= lines.length,
      "a problem's line is one of the file",
      () => `${code} ${span.line} of ${lines.length}`,
    );
  }
}

/** What has an error takes no part: not a part of it either. */
function checkWhole({ resources, rejected, diagnostics }: LoadedResources): void {
  law(
    rejected.every(({ errors }) => errors.length > 0 && errors.every(({ severity }) => severity === "error")),
    "what is rejected has errors",
  );
  law(
    !diagnostics.some(({ severity, resource }) => severity === "error" && resource !== undefined),
    "a resource with an error is rejected",
  );
  for (const resource of resources)
    if (isSecurity(resource))
      law(unknownFields(resource).length === 0, "a security resource has known fields alone", () =>
        unknownFields(resource).join(" "),
      );
}

function isSecurity({ kind, apiVersion }: { kind: string; apiVersion: string }): boolean {
  return SECURITY.has(kind) && apiGroup(apiVersion) === "security.istio.io";
}

function checkSecond(text: string, { resources }: LoadedResources, problems: readonly Diagnostic[]): string {
  const second = secondReading(text);
  const failed = problems.some(({ severity }) => severity === "error");
  const own = resources.filter(isSecurity);
  // Another product may have a kind of the same name: that nothing of it takes effect is told.
  const told = new Set(unsupported(resources).map((notice) => notice.resource));
  for (const object of second.objects) {
    const isMeant = SECURITY.has(object.kind) || apiGroup(object.apiVersion) === "security.istio.io";
    const isForeign = !object.apiVersion.includes("istio");
    const found = resources.filter((resource) => isSame(resource, object));
    const isTold =
      isForeign && found.length > 0 && found.every((resource) => told.has(resourceName(resource)));
    const isTaken = found.some(isSecurity);
    law(!isMeant || failed || isTaken || isTold, "no security resource is lost in silence", () =>
      JSON.stringify(object.identity),
    );
  }
  if (!second.whole)
    return `${own.length > 0} ${failed} ${text.includes("<<") ? "not compared" : "second refuses"}`;
  for (const resource of own) {
    const differences = second.objects
      .filter((object) => isSame(resource, object))
      .map((object) => differsFrom(resource.body, object.node));
    law(
      differences.some((difference) => difference === undefined),
      "a security resource is what a second parser reads",
      () => JSON.stringify([resource.body, differences]),
    );
  }
  return `${own.length > 0} ${failed}`;
}

function isSame({ kind, name, apiVersion }: Resource, object: SecondObject): boolean {
  return isDeepStrictEqual([apiVersion, kind, name], [object.apiVersion, object.kind, object.name]);
}

/** Fields of the APIs, written down from their documentation: a field that is passed over may have been the restriction. */
const FIELDS: Readonly<Record<string, readonly string[]>> = {
  AuthorizationPolicy: ["selector", "targetRef", "targetRefs", "rules", "action", "provider"],
  "AuthorizationPolicy.rules": ["from", "to", "when"],
  "AuthorizationPolicy.rules.from": ["source"],
  "AuthorizationPolicy.rules.to": ["operation"],
  "AuthorizationPolicy.rules.when": ["key", "values", "notValues"],
  "AuthorizationPolicy.rules.from.source":
    "principals notPrincipals requestPrincipals notRequestPrincipals namespaces notNamespaces serviceAccounts notServiceAccounts ipBlocks notIpBlocks remoteIpBlocks notRemoteIpBlocks trustDomains notTrustDomains".split(
      " ",
    ),
  "AuthorizationPolicy.rules.to.operation":
    "hosts notHosts ports notPorts methods notMethods paths notPaths".split(" "),
  PeerAuthentication: ["selector", "mtls", "portLevelMtls"],
  "PeerAuthentication.mtls": ["mode"],
  RequestAuthentication: ["selector", "targetRef", "targetRefs", "jwtRules"],
  "RequestAuthentication.jwtRules":
    "issuer audiences jwksUri jwks_uri jwks fromHeaders fromParams fromCookies outputPayloadToHeader forwardOriginalToken outputClaimToHeaders timeout spaceDelimitedClaims presence".split(
      " ",
    ),
};

function unknownFields({ kind, spec }: Resource): string[] {
  const found: string[] = [];
  const walk = (value: unknown, place: string): void => {
    if (Array.isArray(value)) for (const item of value) walk(item, place);
    const known = FIELDS[place];
    if (known === undefined || typeof value !== "object" || value === null || Array.isArray(value)) return;
    for (const [name, inner] of Object.entries(value)) {
      if (!known.includes(name)) found.push(`${place}.${name}`);
      walk(inner, `${place}.${name}`);
    }
  };
  walk(spec, kind);
  return found;
}
