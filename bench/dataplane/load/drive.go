package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"
)

// plan is one run, as JSON.
type plan struct {
	// Job is http1, http2, tcp or connect (a handshake and one HTTP/1.1 request for each connection).
	Job string `json:"job"`
	// Addr is where the proxy listens.
	Addr string `json:"addr"`
	Cert string `json:"cert"`
	Key  string `json:"key"`
	// Large asks for the answer of 64 KiB.
	Large       bool `json:"large"`
	Connections int  `json:"connections"`
	// Streams at the same time on each connection (http2).
	Streams int     `json:"streams"`
	Seconds float64 `json:"seconds"`
	// Resume offers the session of before (connect).
	Resume bool `json:"resume"`
	// PostQuantum offers X25519MLKEM768 before X25519.
	PostQuantum bool `json:"postQuantum"`
	// Plain is for a proxy that captures: no TLS of the client's own.
	Plain bool `json:"plain"`
	// Status is what every answer must have; 0 stands for 200.
	Status int `json:"status"`
}

// figures is what a run found.
type figures struct {
	Requests int     `json:"requests"`
	Failed   int     `json:"failed"`
	Error    string  `json:"error,omitempty"`
	Seconds  float64 `json:"seconds"`
	P50Ms    float64 `json:"p50Ms"`
	P99Ms    float64 `json:"p99Ms"`
	Resumed  int     `json:"resumed"`
}

func readPlan(text string) (*plan, error) {
	p := &plan{Connections: 1, Streams: 1, Seconds: 1, Status: 200}
	return p, json.Unmarshal([]byte(text), p)
}

func (p *plan) tls() (*tls.Config, error) {
	if p.Plain {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair},
		// The server's identity is not what is measured here: the names are SPIFFE's, which this library does not check.
		InsecureSkipVerify: true,
		MinVersion:         tls.VersionTLS13,
		CurvePreferences:   []tls.CurveID{tls.X25519},
		NextProtos:         []string{map[string]string{"http1": "http/1.1", "http2": "h2", "tcp": "istio", "connect": "http/1.1"}[p.Job]},
	}
	if p.PostQuantum {
		config.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768, tls.X25519}
	}
	return config, nil
}

// phases is how a client is led through a run: it says that it is connected (and is held there), runs while on, says that it
// has finished, and only then closes.
type phases struct {
	connected func()
	on        func() bool
	finished  func()
}

type client func(*worker, phases)

// worker is one client: its times are its own, so that nothing is shared while it runs.
type worker struct {
	times   []time.Duration
	failed  int
	problem error
	resumed int
}

func drive(p *plan) error {
	config, err := p.tls()
	if err != nil {
		return err
	}
	var clients []client
	for range p.Connections {
		switch p.Job {
		case "http2":
			transport := p.http2Transport(config)
			for range p.Streams {
				clients = append(clients, func(w *worker, run phases) { p.runHTTP2(transport, w, run) })
			}
		case "connect":
			own := config.Clone() // nil of nil
			if p.Resume {
				own.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			}
			clients = append(clients, func(w *worker, run phases) { p.runConnect(own, w, run) })
		default:
			clients = append(clients, func(w *worker, run phases) { p.runStream(config, w, run) })
		}
	}
	return runAll(clients, time.Duration(p.Seconds*float64(time.Second)))
}

// runAll lets every client connect, says "ready", waits for a line, runs them, and prints what they found while they are
// still connected: handshakes and closing stay outside of what the caller measures in between.
func runAll(clients []client, lasting time.Duration) error {
	workers := make([]worker, len(clients))
	var connected, done sync.WaitGroup
	var end time.Time
	begin := make(chan struct{})
	for i, run := range clients {
		connected.Add(1)
		done.Add(1)
		go func() {
			run(&workers[i], phases{
				connected: func() { connected.Done(); <-begin },
				on:        func() bool { return time.Now().Before(end) },
				finished:  done.Done,
			})
		}()
	}
	connected.Wait()
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	started := time.Now()
	end = started.Add(lasting)
	close(begin)
	done.Wait()
	return json.NewEncoder(os.Stdout).Encode(summarise(workers, time.Since(started)))
}

func summarise(workers []worker, took time.Duration) figures {
	var times []time.Duration
	result := figures{Seconds: took.Seconds()}
	for i := range workers {
		times = append(times, workers[i].times...)
		result.Failed += workers[i].failed
		result.Resumed += workers[i].resumed
		if workers[i].problem != nil {
			result.Error = workers[i].problem.Error()
		}
	}
	slices.Sort(times)
	result.Requests = len(times)
	if len(times) > 0 {
		result.P50Ms = float64(times[len(times)/2].Microseconds()) / 1000
		result.P99Ms = float64(times[len(times)*99/100].Microseconds()) / 1000
	}
	return result
}

func (w *worker) fail(err error) {
	w.failed++
	w.problem = err
}

// runStream repeats one exchange on one connection: HTTP/1.1 or the TCP protocol.
func (p *plan) runStream(config *tls.Config, w *worker, run phases) {
	defer run.finished()
	buffer := make([]byte, 128*1024)
	connection, err := p.dial(config)
	if err == nil {
		err = p.exchange(connection, buffer)
	}
	run.connected()
	if err != nil {
		w.fail(err)
		return
	}
	for run.on() {
		started := time.Now()
		if err := p.exchange(connection, buffer); err != nil {
			w.fail(err)
			return
		}
		w.times = append(w.times, time.Since(started))
	}
}

func (p *plan) runConnect(config *tls.Config, w *worker, run phases) {
	defer run.finished()
	buffer := make([]byte, 128*1024)
	run.connected()
	for run.on() {
		started := time.Now()
		connection, err := p.dial(config)
		if err == nil {
			err = p.exchange(connection, buffer)
			if secured, ok := connection.(*tls.Conn); ok && secured.ConnectionState().DidResume {
				w.resumed++
			}
			_ = connection.Close()
		}
		if err != nil {
			w.fail(err)
			// A refused client must not turn into a busy loop.
			time.Sleep(10 * time.Millisecond)
			continue
		}
		w.times = append(w.times, time.Since(started))
	}
}

func (p *plan) dial(config *tls.Config) (net.Conn, error) {
	if p.Plain {
		return net.Dial("tcp", p.Addr)
	}
	connection, err := tls.Dial("tcp", p.Addr, config)
	if err != nil {
		// A nil *tls.Conn is no nil net.Conn.
		return nil, err
	}
	return connection, nil
}

// http2Transport has one connection: whoever shares it shares that.
func (p *plan) http2Transport(config *tls.Config) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(!p.Plain)
	protocols.SetUnencryptedHTTP2(p.Plain)
	return &http.Transport{
		TLSClientConfig:       config,
		Protocols:             protocols,
		DisableCompression:    true,
		ResponseHeaderTimeout: 10 * time.Second,
		HTTP2:                 &http.HTTP2Config{MaxReceiveBufferPerStream: 1 << 20, MaxReceiveBufferPerConnection: 16 << 20},
	}
}

func (p *plan) runHTTP2(transport *http.Transport, w *worker, run phases) {
	defer run.finished()
	scheme := "https://"
	if p.Plain {
		scheme = "http://"
	}
	url := scheme + p.Addr + p.path()
	buffer := make([]byte, 64*1024)
	err := p.exchangeHTTP2(transport, url, buffer)
	run.connected()
	if err != nil {
		w.fail(err)
		return
	}
	for run.on() {
		started := time.Now()
		if err := p.exchangeHTTP2(transport, url, buffer); err != nil {
			w.fail(err)
			return
		}
		w.times = append(w.times, time.Since(started))
	}
}

// hold opens connections one after the other, so that the memory found is that of idle ones and not of a storm.
func hold(p *plan) error {
	config, err := p.tls()
	if err != nil {
		return err
	}
	buffer := make([]byte, 128*1024)
	var held []net.Conn
	for range p.Connections {
		connection, err := tls.Dial("tcp", p.Addr, config)
		if err != nil {
			return err
		}
		if err := p.exchange(connection, buffer); err != nil {
			return err
		}
		held = append(held, connection)
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin)
	for _, connection := range held {
		_ = connection.Close()
	}
	return nil
}
