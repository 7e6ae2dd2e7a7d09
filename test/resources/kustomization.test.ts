import assert from "node:assert/strict";
import { test } from "node:test";
import { loadTexts } from "../../src/resources/load.ts";

const HEAD = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";

async function told(text: string, file = "deploy/kustomization.yaml"): Promise<readonly string[]> {
  const { diagnostics, resources } = await loadTexts([{ file, text }]);
  assert.deepEqual(resources, []);
  return diagnostics.map(({ code, severity, span }) => `${severity} ${code} ${span?.line}`);
}

test("a kustomization that lists files of its folder is passed over", async () => {
  for (const text of [
    "resources: [mesh.yaml, ./more]\n",
    "metadata: {name: base}\nresources:\n- mesh.yaml\n",
  ])
    assert.deepEqual(await told(HEAD + text), ["info BW1013_NOT_A_CLUSTER_OBJECT 1"]);
});

test("one that makes something else of them, or takes some from elsewhere, is warned of where it does", async () => {
  const changing = [
    "resources: [mesh.yaml]\npatches: [{path: p.yaml}]\n",
    "resources: [mesh.yaml]\nnamespace: other\n",
    "resources: [mesh.yaml]\nlabels: [{pairs: {app: x}}]\n",
    "resources: [mesh.yaml]\ncomponents: [../c]\n",
    "resources: [mesh.yaml]\nconfigMapGenerator: [{name: istio}]\n",
  ];
  for (const text of changing) assert.deepEqual(await told(HEAD + text), ["warning BW1018_KUSTOMIZATION 4"]);
  const elsewhere = [
    ...["../base", "./../base", "sub/../../base", "..", "/base"],
    ...["https://example.com/x.yaml", "github.com/a/b", "gitlab.com/a/b", "git@example.com:a/b", "a?ref=v1"],
  ];
  for (const resource of elsewhere)
    assert.deepEqual(await told(`${HEAD}resources: ["${resource}"]\n`), ["warning BW1018_KUSTOMIZATION 3"]);
});

test("kustomize needs no kind in its own file, and a component is one of its files, too", async () => {
  assert.deepEqual(await told("patches: [{path: p.yaml}]\n"), ["warning BW1018_KUSTOMIZATION 1"]);
  const component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nreplicas: []\n";
  assert.deepEqual(await told(component, "c.yaml"), ["warning BW1018_KUSTOMIZATION 3"]);
});

test("one that leaves out a file of its folder is warned of: what is read is more than what is deployed", async () => {
  const pod = (name: string): string =>
    `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}}\nspec: {containers: [{name: c, image: i}]}\n`;
  const codes = async (listed: string, folder: string): Promise<readonly string[]> => {
    const { diagnostics } = await loadTexts([
      { file: `${folder}a.yaml`, text: pod("a") },
      { file: `${folder}kustomization.yaml`, text: `${HEAD}resources: [${listed}]\n` },
      { file: `${folder}more/b.yaml`, text: pod("b") },
    ]);
    return diagnostics
      .filter(({ code }) => /BW101[38]/.test(code))
      .map(({ code, message }) => `${code}: ${message}`);
  };
  for (const folder of ["", "deploy/", "/abs/deploy/"]) {
    for (const listed of ["a.yaml, more", "./a.yaml, more/b.yaml", "more/, a.yaml"])
      assert.match((await codes(listed, folder)).join(), /^BW1013[^,]*$/, `${folder} ${listed}`);
    assert.match(
      (await codes("more", folder)).join(),
      /^BW1018\S+ the kustomization does not list `a\.yaml`/,
    );
    assert.match(
      (await codes("a.yaml", folder)).join(),
      /^BW1018\S+ the kustomization does not list `more\/b\.yaml`/,
    );
  }
});
