package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

const (
	smallBytes = 100
	largeBytes = 64 * 1024
	// Of the TCP protocol: a request is this long, and its first byte says which answer is wanted.
	tcpRequestBytes = 100
)

var small = bytes.Repeat([]byte("s"), smallBytes)
var large = bytes.Repeat([]byte("l"), largeBytes)

// serve runs every listener whose port the environment names, on the address in $HOST.
func serve() error {
	listeners := map[string]func(net.Listener) error{
		"PORT_8080": eachConnection(serveHTTP1),
		"PORT_8081": serveHTTP2,
		"PORT_9000": eachConnection(serveTCP),
	}
	failed := make(chan error)
	started := 0
	for variable, run := range listeners {
		port := os.Getenv(variable)
		if port == "" {
			continue
		}
		listener, err := net.Listen("tcp", net.JoinHostPort(os.Getenv("HOST"), port))
		if err != nil {
			return err
		}
		started++
		go func() { failed <- run(listener) }()
	}
	if started == 0 {
		return fmt.Errorf("no port given")
	}
	return <-failed
}

func eachConnection(handle func(net.Conn)) func(net.Listener) error {
	return func(listener net.Listener) error {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return err
			}
			go handle(connection)
		}
	}
}

// serveHTTP1 answers heads without bodies, by the first letter of the path, as cheaply as a server can.
func serveHTTP1(connection net.Conn) {
	defer connection.Close()
	answers := map[byte][]byte{'s': httpAnswer(small), 'l': httpAnswer(large)}
	buffer := make([]byte, 64*1024)
	held := 0
	for {
		n, err := connection.Read(buffer[held:])
		if err != nil {
			return
		}
		held += n
		for {
			end := bytes.Index(buffer[:held], []byte("\r\n\r\n"))
			if end < 0 {
				break
			}
			slash := bytes.IndexByte(buffer[:end], '/')
			answer, found := answers[buffer[slash+1]]
			if !found {
				return
			}
			if _, err := connection.Write(answer); err != nil {
				return
			}
			held = copy(buffer, buffer[end+4:held])
		}
	}
}

func httpAnswer(body []byte) []byte {
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nserver: load\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\ncontent-length: %d\r\n\r\n", len(body))
	return append([]byte(head), body...)
}

func serveHTTP2(listener net.Listener) error {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := http.Server{
		Protocols: protocols,
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: 1000},
		Handler: http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
			body := small
			if strings.HasPrefix(request.URL.Path, "/l") {
				body = large
			}
			answer.Header()["Content-Type"] = []string{"text/plain"}
			_, _ = answer.Write(body)
		}),
	}
	return server.Serve(listener)
}

func serveTCP(connection net.Conn) {
	defer connection.Close()
	request := make([]byte, tcpRequestBytes)
	for {
		if _, err := io.ReadFull(connection, request); err != nil {
			return
		}
		answer := small
		if request[0] == 'l' {
			answer = large
		}
		if _, err := connection.Write(answer); err != nil {
			return
		}
	}
}
