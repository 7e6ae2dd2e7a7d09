// Command load is both ends of the data plane's benchmark: the server behind the proxies and the clients before them.
//
//	load serve            answers on $PORT_8080 (HTTP/1.1), $PORT_8081 (HTTP/2 without TLS), $PORT_9000 (TCP)
//	load drive '{…}'      one closed-loop run (see plan); prints its figures as JSON
//	load hold '{…}'       opens connections, does one request on each, prints "held", keeps them until stdin ends
//
// The clients are in Go so that their own cost stays far below the proxies': what is measured shares two cores with them.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("say serve, drive or hold"))
	}
	var err error
	switch os.Args[1] {
	case "serve":
		err = serve()
	case "drive", "hold":
		var p *plan
		if p, err = readPlan(os.Args[2]); err == nil {
			if os.Args[1] == "drive" {
				err = drive(p)
			} else {
				err = hold(p)
			}
		}
	default:
		err = fmt.Errorf("unknown command %q", os.Args[1])
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "load:", err)
	os.Exit(1)
}
