import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LoadedMesh, loadMesh } from "../../../src/index.ts";

/** A mesh written in a test, read as files are. */
export async function meshFrom(...texts: readonly string[]): Promise<LoadedMesh> {
  const folder = mkdtempSync(join(tmpdir(), "mesh-"));
  try {
    const files = texts.map((text, index) => {
      const file = join(folder, `${index}.yaml`);
      writeFileSync(file, text);
      return file;
    });
    return await loadMesh(files);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export interface WorkloadText {
  readonly namespace?: string;
  readonly name: string;
  readonly labels?: string;
  readonly annotations?: string;
  readonly ip?: string;
  readonly ports?: string;
}

/** A pod with its account and, on port 80, a service of the same name. */
export function workloadText({
  namespace = "default",
  name,
  labels = "",
  annotations = "{}",
  ip,
  ports = "[{containerPort: 8080}]",
}: WorkloadText): string {
  const address = ip === undefined ? "" : `status: {podIP: ${ip}}\n`;
  return `
---
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: ${namespace}}
spec:
  selector: {app: ${name}}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9000, targetPort: 9000}]
---
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: ${namespace}, labels: {app: ${name}, security.istio.io/tlsMode: istio${labels}}, annotations: ${annotations}}
spec:
  serviceAccountName: ${name}
  containers: [{name: app, image: app, ports: ${ports}}]
${address}`;
}
