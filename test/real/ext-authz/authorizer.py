"""A gRPC authorizer by others' hands: grpcio and the published protos. It answers what the header x-answer of the request says
(CheckResponse as JSON), and tells the application in x-seen what it was asked. Prints its port."""

import json
import sys
from concurrent import futures

import grpc
from envoy.service.auth.v3 import external_auth_pb2, external_auth_pb2_grpc
from google.protobuf import json_format


class Authorizer(external_auth_pb2_grpc.AuthorizationServicer):
    def Check(self, request, context):
        http = request.attributes.request.http
        asked = http.headers.get("x-answer", "{}")
        if asked.startswith("status "):
            context.abort(grpc.StatusCode[asked.split()[1]], "told to")
        response = json_format.ParseDict(json.loads(asked), external_auth_pb2.CheckResponse())
        if response.status.code == 0:
            seen = {
                "method": http.method,
                "path": http.path,
                "host": http.host,
                "protocol": http.protocol,
                "body": http.body,
                "raw": http.raw_body.decode("latin1"),
                "headers": {name: http.headers[name] for name in sorted(http.headers) if name in SHOWN},
            }
            option = response.ok_response.headers.add()
            option.header.key = "x-seen"
            option.header.value = json.dumps(seen, sort_keys=True)
        return response


SHOWN = {":authority", ":method", ":path", "x-role", "x-bin", "x-envoy-auth-partial-body", "content-type"}

server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
external_auth_pb2_grpc.add_AuthorizationServicer_to_server(Authorizer(), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
sys.stdin.read()
server.stop(None)
