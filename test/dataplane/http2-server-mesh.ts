import { FRAME, frame, HTTP2_PREFACE } from "./http2-frames.ts";

/** A server of HTTP/2 that asks nobody for a certificate: bytes written to its sidecar's port 8080 are its protocol. */
export const HTTP2_SERVER_MESH = `
apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: v1
kind: Pod
metadata: {name: server, namespace: a, labels: {app: server}}
spec: {serviceAccountName: server, containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: a}
spec: {selector: {app: server}, ports: [{name: grpc, port: 8080}]}
`;

/** What every client begins with. */
export const HTTP2_BEGINNING = Buffer.concat([HTTP2_PREFACE, frame(FRAME.settings, 0, 0, Buffer.alloc(0))]);
