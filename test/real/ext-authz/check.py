"""Asks a gRPC authorizer with grpcio and the published protos. Arguments: address, then a CheckRequest as JSON; prints the answer as JSON."""

import json
import sys

import grpc
from envoy.service.auth.v3 import external_auth_pb2, external_auth_pb2_grpc
from google.protobuf import json_format

channel = grpc.insecure_channel(sys.argv[1])
stub = external_auth_pb2_grpc.AuthorizationStub(channel)
request = json_format.ParseDict(json.loads(sys.argv[2]), external_auth_pb2.CheckRequest())
try:
    print(json_format.MessageToJson(stub.Check(request, timeout=5)))
except grpc.RpcError as error:
    print(json.dumps({"grpc": error.code().name}))
