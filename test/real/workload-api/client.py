"""One pod's callers of the SPIFFE Workload API, by py-spiffe and by bare grpcio. Prints one JSON object.

usage: client.py SOCKET [RENEWALS]
"""
import json
import sys
import threading

import grpc
from spiffe import WorkloadApiClient, X509Source
from spiffe.errors import PySpiffeError

socket = "unix://" + sys.argv[1]
renewals = int(sys.argv[2]) if len(sys.argv) > 2 else 0


def bare(method, metadata):
    """The status of a call with this metadata; for a stream, of its first message."""
    with grpc.insecure_channel(socket.replace("unix://", "unix:")) as channel:
        stream = channel.unary_stream("/SpiffeWorkloadAPI/" + method)
        try:
            next(stream(b"", metadata=metadata, timeout=20))
            return "OK"
        except grpc.RpcError as error:
            return error.code().name


def refused(work):
    try:
        work()
        return "OK"
    except PySpiffeError as error:
        return str(error)


def watch(client, wanted):
    """Serials and public keys of the certificates of one stream."""
    seen, enough, failures = [], threading.Event(), []

    def on_success(context):
        leaf = context.default_svid.leaf
        key = leaf.public_key().public_numbers().x
        seen.append([format(leaf.serial_number, "x"), format(key, "x"), str(context.default_svid.spiffe_id)])
        if len(seen) > wanted:
            enough.set()

    def on_error(error):
        failures.append(str(error))
        enough.set()

    cancel = client.stream_x509_contexts(on_success, on_error)
    enough.wait(60)
    cancel.cancel()
    return {"seen": seen, "failures": failures}


found = {
    "noMetadata": bare("FetchX509SVID", None),
    "wrongMetadata": bare("FetchX509Bundles", [("workload.spiffe.io", "yes")]),
    "metadata": bare("FetchX509SVID", [("workload.spiffe.io", "true")]),
}
with WorkloadApiClient(socket) as client:
    if found["metadata"] != "OK":
        found["refused"] = refused(client.fetch_x509_svid)
        found["refusedJwt"] = refused(lambda: client.fetch_jwt_svid({"there"}))
        print(json.dumps(found))
        sys.exit(0)
    svid = client.fetch_x509_svid()
    again = client.fetch_x509_svid()
    found["id"] = str(svid.spiffe_id)
    found["chain"] = len(svid.cert_chain)
    found["keysDiffer"] = (
        svid.leaf.public_key().public_numbers() != again.leaf.public_key().public_numbers()
    )
    bundles = client.fetch_x509_bundles().bundles
    found["x509Bundles"] = sorted([str(bundle.trust_domain), len(bundle.x509_authorities)] for bundle in bundles)
    token = client.fetch_jwt_svid({"there", "elsewhere"})
    found["jwt"] = {
        "id": str(token.spiffe_id),
        "audience": sorted(token.audience),
        "valid": str(client.validate_jwt_svid(token.token, "there").spiffe_id),
        "otherAudience": refused(lambda: client.validate_jwt_svid(token.token, "nowhere")),
        "altered": refused(lambda: client.validate_jwt_svid(token.token[:-6] + "AAAAAA", "there")),
        "noAudience": refused(lambda: client.fetch_jwt_svid(set())),
    }
    jwt_bundles = client.fetch_jwt_bundles().bundles
    found["jwtBundles"] = sorted([str(bundle.trust_domain), len(bundle.jwt_authorities)] for bundle in jwt_bundles)
    if renewals > 0:
        found["watched"] = watch(client, renewals)
with X509Source(socket_path=socket) as source:
    found["source"] = str(source.get_x509_context().default_svid.spiffe_id)
print(json.dumps(found))
