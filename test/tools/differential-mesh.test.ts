import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isObject } from "../../src/resources/read-objects.ts";
import { validateObject } from "../../src/resources/validate/validate.ts";
import { arbitraryMesh } from "../../tools/differential/arbitrary-mesh.ts";
import { POD } from "../../tools/differential/differential-case.ts";
import { manifests } from "../../tools/differential/materialize.ts";
import { TokenSigner } from "../../tools/differential/token-signer.ts";

const SEED = 20261122;
const NOWHERE = { file: "case", line: 1, column: 1, endLine: 1, endColumn: 1 };

test("random meshes hold only policies that Istio takes", async () => {
  const signer = new TokenSigner();
  await fc.assert(
    fc.asyncProperty(arbitraryMesh, async (spec) => {
      const bodies = JSON.parse(
        JSON.stringify(manifests(spec, signer)).replaceAll(POD, "10.0.0.1"),
      ) as unknown[];
      for (const body of bodies) {
        assert.ok(isObject(body) && isObject(body.metadata));
        const object = {
          apiVersion: String(body.apiVersion),
          kind: String(body.kind),
          name: String(body.metadata.name),
          body,
          file: "case",
          locate: () => NOWHERE,
          locateEmbedded: () => NOWHERE,
        };
        const { errors } = await validateObject(object, String(body.metadata.namespace));
        assert.deepEqual(errors, []);
      }
    }),
    { seed: SEED, numRuns: 150 },
  );
});
