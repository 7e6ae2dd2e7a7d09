// Decides the requests of a file by a Rego policy, in process, as a Go service that embeds OPA does.
// Reads from standard input `answers N` and `run N`; each answers with one line of JSON.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

func main() {
	if len(os.Args) != 3 {
		fail("usage: opa POLICY.rego REQUESTS.json")
	}
	ctx := context.Background()
	query := prepare(ctx, os.Args[1])
	inputs := readInputs(os.Args[2])
	fmt.Println(`"ready"`)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		count, err := strconv.Atoi(words[1])
		if err != nil || count < 0 {
			fail("bad count")
		}
		switch words[0] {
		case "answers":
			answers := make([]int, count)
			for i := range answers {
				answers[i] = decide(ctx, query, inputs[i%len(inputs)])
			}
			reply(answers)
		case "run":
			before := cpuNanos()
			sum := 0
			for i := range count {
				sum += decide(ctx, query, inputs[i%len(inputs)])
			}
			reply(map[string]int64{"nanos": cpuNanos() - before, "sum": int64(sum)})
		}
	}
}

// The rank of the first rule that matches, or -1.
func decide(ctx context.Context, query rego.PreparedEvalQuery, input ast.Value) int {
	results, err := query.Eval(ctx, rego.EvalParsedInput(input))
	if err != nil {
		fail(err.Error())
	}
	first := -1
	if len(results) == 0 {
		return first
	}
	for _, value := range results[0].Expressions[0].Value.([]any) {
		rank64, err := value.(json.Number).Int64()
		if err != nil {
			fail(err.Error())
		}
		if rank := int(rank64); first < 0 || rank < first {
			first = rank
		}
	}
	return first
}

func prepare(ctx context.Context, file string) rego.PreparedEvalQuery {
	text, err := os.ReadFile(file)
	if err != nil {
		fail(err.Error())
	}
	query, err := rego.New(rego.Query("data.mesh.matching"), rego.Module("mesh.rego", string(text))).PrepareForEval(ctx)
	if err != nil {
		fail(err.Error())
	}
	return query
}

func readInputs(file string) []ast.Value {
	text, err := os.ReadFile(file)
	if err != nil {
		fail(err.Error())
	}
	var raw []any
	if err := json.Unmarshal(text, &raw); err != nil {
		fail(err.Error())
	}
	inputs := make([]ast.Value, len(raw))
	for i, value := range raw {
		inputs[i] = ast.MustInterfaceToValue(value)
	}
	return inputs
}

// Processor time of all threads, the collector's too.
func cpuNanos() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fail(err.Error())
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func reply(value any) {
	line, err := json.Marshal(value)
	if err != nil {
		fail(err.Error())
	}
	fmt.Println(string(line))
}

func fail(reason string) {
	fmt.Fprintln(os.Stderr, reason)
	os.Exit(1)
}
