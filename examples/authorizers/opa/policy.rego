# Who may see which orders. Written for OPA's Envoy plugin; nothing here knows of Bulwark.
package envoy.authz

import rego.v1

request := input.attributes.request.http

# "spiffe://cluster.local/ns/partners/sa/acme" → namespace "partners", account "acme"
identity := split(input.source_principal, "/")

namespace := identity[4]

account := identity[6]

default allow := {"allowed": false, "body": "no rule lets you do this", "headers": {"x-denied-by": "opa"}}

allow := decision("*") if {
	not suspended
	namespace == "shop"
	account == "web"
	request.method != "DELETE"
}

# A partner sees its own orders: a rule about two things of one request, which no AuthorizationPolicy can state.
allow := decision(account) if {
	not suspended
	namespace == "partners"
	request.method == "GET"
	input.parsed_path[0] == "orders"
	input.parsed_path[1] == account
}

allow := {"allowed": false, "http_status": 402, "body": "this account is suspended", "headers": {"x-denied-by": "opa"}} if suspended

suspended if account in data.suspended

# The application learns whose orders are meant from nobody else.
decision(customer) := {
	"allowed": true,
	"headers": {"x-customer": customer},
	"request_headers_to_remove": ["x-debug"],
	"response_headers_to_add": {"x-decided-by": "opa"},
}
