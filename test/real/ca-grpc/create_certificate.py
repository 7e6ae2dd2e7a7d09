"""Calls istio.v1.auth.IstioCertificateService/CreateCertificate as a stranger to Bulwark would: grpcio, messages by Google's protobuf.

Reads one JSON object a line {target, ca, name, token?, cert?, key?, csr, ttl?, impersonate?}, writes one a line {code, details, chain}.
"""

import json
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2

FIELD = descriptor_pb2.FieldDescriptorProto
PROTO = descriptor_pb2.FileDescriptorProto(
    name="security/v1alpha1/ca.proto",
    package="istio.v1.auth",
    syntax="proto3",
    dependency=["google/protobuf/struct.proto"],
    message_type=[
        descriptor_pb2.DescriptorProto(
            name="IstioCertificateRequest",
            field=[
                FIELD(name="csr", number=1, type=FIELD.TYPE_STRING, label=FIELD.LABEL_OPTIONAL),
                FIELD(name="validity_duration", number=3, type=FIELD.TYPE_INT64, label=FIELD.LABEL_OPTIONAL),
                FIELD(
                    name="metadata",
                    number=4,
                    type=FIELD.TYPE_MESSAGE,
                    type_name=".google.protobuf.Struct",
                    label=FIELD.LABEL_OPTIONAL,
                ),
            ],
        ),
        descriptor_pb2.DescriptorProto(
            name="IstioCertificateResponse",
            field=[FIELD(name="cert_chain", number=1, type=FIELD.TYPE_STRING, label=FIELD.LABEL_REPEATED)],
        ),
    ],
)

pool = descriptor_pool.Default()
assert struct_pb2.DESCRIPTOR is not None
pool.Add(PROTO)
Request = message_factory.GetMessageClass(pool.FindMessageTypeByName("istio.v1.auth.IstioCertificateRequest"))
Response = message_factory.GetMessageClass(pool.FindMessageTypeByName("istio.v1.auth.IstioCertificateResponse"))


def encoded(text):
    return text.encode() if text else None


def call(ask):
    credentials = grpc.ssl_channel_credentials(encoded(ask["ca"]), encoded(ask.get("key")), encoded(ask.get("cert")))
    request = Request(csr=ask["csr"], validity_duration=ask.get("ttl", 0))
    if "impersonate" in ask:
        request.metadata["ImpersonatedIdentity"] = ask["impersonate"]
    headers = [("authorization", "Bearer " + ask["token"]), ("clusterid", "Kubernetes")] if "token" in ask else []
    options = [("grpc.ssl_target_name_override", ask["name"])]
    with grpc.secure_channel(ask["target"], credentials, options) as channel:
        method = channel.unary_unary(
            "/istio.v1.auth.IstioCertificateService/CreateCertificate",
            request_serializer=Request.SerializeToString,
            response_deserializer=Response.FromString,
        )
        try:
            answer = method(request, metadata=headers, timeout=30)
            return {"code": "OK", "details": "", "chain": list(answer.cert_chain)}
        except grpc.RpcError as error:
            return {"code": error.code().name, "details": error.details(), "chain": []}


for line in sys.stdin:
    print(json.dumps(call(json.loads(line))), flush=True)
