// An external authorizer for Envoy's protocol (envoy.service.auth.v3, gRPC) that lets OPA decide.
//
// Policies see and answer what those of OPA's own Envoy plugin do (opa-envoy-plugin), so that one policy serves both:
// input.attributes, input.parsed_path, input.parsed_query, input.source_principal; a boolean, or an object with allowed,
// headers, request_headers_to_remove, response_headers_to_add, http_status and body.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/url"
	"os"
	"strings"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/open-policy-agent/opa/v1/rego"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
)

type server struct {
	auth.UnimplementedAuthorizationServer
	query rego.PreparedEvalQuery
}

func main() {
	log.SetFlags(0)
	decision := flag.String("decision", "envoy/authz/allow", "the rule that decides")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: opa-authorizer [-decision PATH] POLICY.rego [DATA.json …]; listens on $HOST:$PORT")
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	query, err := prepare(*decision, flag.Args())
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(env("HOST", "127.0.0.1"), env("PORT", "9191")))
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on %s", listener.Addr())
	grpcServer := grpc.NewServer()
	auth.RegisterAuthorizationServer(grpcServer, &server{query: query})
	log.Fatal(grpcServer.Serve(listener))
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func prepare(decision string, files []string) (rego.PreparedEvalQuery, error) {
	reference := "data." + strings.ReplaceAll(decision, "/", ".")
	return rego.New(rego.Query(reference), rego.Load(files, nil)).PrepareForEval(context.Background())
}

// Check answers one question. What OPA cannot decide is an error of the call, which the provider's failOpen is about; never an allow.
func (s *server) Check(ctx context.Context, request *auth.CheckRequest) (*auth.CheckResponse, error) {
	input, err := inputOf(request)
	if err != nil {
		return denial(400, nil, "the request's path cannot be read"), nil
	}
	results, err := s.query.Eval(ctx, rego.EvalInput(input))
	if err != nil {
		return nil, status.Error(codes.Internal, "the policy cannot be evaluated")
	}
	if len(results) != 1 || len(results[0].Expressions) != 1 {
		return nil, status.Error(codes.Internal, "the policy says nothing")
	}
	response, err := responseOf(results[0].Expressions[0].Value)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return response, nil
}

func inputOf(request *auth.CheckRequest) (map[string]any, error) {
	text, err := protojson.Marshal(request)
	if err != nil {
		return nil, err
	}
	var input map[string]any
	if err := json.Unmarshal(text, &input); err != nil {
		return nil, err
	}
	path, query, _ := strings.Cut(request.GetAttributes().GetRequest().GetHttp().GetPath(), "?")
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return nil, err
	}
	parsedQuery, err := url.ParseQuery(query)
	if err != nil {
		return nil, err
	}
	input["parsed_path"] = strings.Split(strings.TrimLeft(decoded, "/"), "/")
	input["parsed_query"] = map[string][]string(parsedQuery)
	input["version"] = map[string]string{"ext_authz": "v3", "encoding": "protojson"}
	if principal := request.GetAttributes().GetSource().GetPrincipal(); principal != "" {
		input["source_principal"] = principal
	}
	return input, nil
}
