package main

import (
	"encoding/json"
	"fmt"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	envoytype "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/code"
	rpc "google.golang.org/genproto/googleapis/rpc/status"
)

// What a policy may answer besides true and false.
type decision struct {
	Allowed                *bool             `json:"allowed"`
	Headers                map[string]string `json:"headers"`
	RequestHeadersToRemove []string          `json:"request_headers_to_remove"`
	ResponseHeadersToAdd   map[string]string `json:"response_headers_to_add"`
	HTTPStatus             int32             `json:"http_status"`
	Body                   string            `json:"body"`
}

func responseOf(value any) (*auth.CheckResponse, error) {
	if allowed, plain := value.(bool); plain {
		return settle(decision{Allowed: &allowed}), nil
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	var made decision
	if err := json.Unmarshal(text, &made); err != nil || made.Allowed == nil {
		return nil, fmt.Errorf("the policy's answer is neither a boolean nor an object with allowed")
	}
	return settle(made), nil
}

func settle(made decision) *auth.CheckResponse {
	if !*made.Allowed {
		return denial(made.HTTPStatus, made.Headers, made.Body)
	}
	return &auth.CheckResponse{
		Status: &rpc.Status{Code: int32(code.Code_OK)},
		HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: &auth.OkHttpResponse{
			Headers:              fields(made.Headers),
			HeadersToRemove:      made.RequestHeadersToRemove,
			ResponseHeadersToAdd: fields(made.ResponseHeadersToAdd),
		}},
	}
}

func denial(httpStatus int32, headers map[string]string, body string) *auth.CheckResponse {
	denied := &auth.DeniedHttpResponse{Headers: fields(headers), Body: body}
	if httpStatus != 0 {
		denied.Status = &envoytype.HttpStatus{Code: envoytype.StatusCode(httpStatus)}
	}
	return &auth.CheckResponse{
		Status:       &rpc.Status{Code: int32(code.Code_PERMISSION_DENIED)},
		HttpResponse: &auth.CheckResponse_DeniedResponse{DeniedResponse: denied},
	}
}

func fields(headers map[string]string) []*core.HeaderValueOption {
	options := make([]*core.HeaderValueOption, 0, len(headers))
	for name, value := range headers {
		options = append(options, &core.HeaderValueOption{Header: &core.HeaderValue{Key: name, Value: value}})
	}
	return options
}
