package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
)

func (p *plan) exchange(connection net.Conn, buffer []byte) error {
	if p.Job == "tcp" {
		return p.exchangeTCP(connection, buffer)
	}
	return p.exchangeHTTP1(connection, buffer)
}

func (p *plan) path() string {
	if p.Large {
		return "/large"
	}
	return "/small"
}

func (p *plan) exchangeHTTP1(connection net.Conn, buffer []byte) error {
	request := "GET " + p.path() + " HTTP/1.1\r\nhost: web.bench:8080\r\nuser-agent: load/1\r\naccept: */*\r\n\r\n"
	if _, err := io.WriteString(connection, request); err != nil {
		return err
	}
	held, end := 0, -1
	for end < 0 {
		n, err := connection.Read(buffer[held:])
		if err != nil {
			return err
		}
		held += n
		end = bytes.Index(buffer[:held], []byte("\r\n\r\n"))
	}
	if status := string(buffer[9:12]); status != strconv.Itoa(p.Status) {
		return fmt.Errorf("status %s instead of %d", status, p.Status)
	}
	_, after, found := bytes.Cut(buffer[:end+2], []byte("content-length: "))
	if !found {
		return fmt.Errorf("no content-length in the answer")
	}
	length, err := strconv.Atoi(string(after[:bytes.IndexByte(after, '\r')]))
	if err != nil {
		return err
	}
	for left := length - (held - end - 4); left > 0; {
		n, err := connection.Read(buffer)
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

func (p *plan) exchangeTCP(connection net.Conn, buffer []byte) error {
	request := bytes.Repeat([]byte("s"), tcpRequestBytes)
	left := smallBytes
	if p.Large {
		request[0] = 'l'
		left = largeBytes
	}
	if _, err := connection.Write(request); err != nil {
		return err
	}
	for left > 0 {
		n, err := connection.Read(buffer)
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

func (p *plan) exchangeHTTP2(transport *http.Transport, url string, buffer []byte) error {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != p.Status {
		return fmt.Errorf("status %d instead of %d", answer.StatusCode, p.Status)
	}
	for {
		if _, err := answer.Body.Read(buffer); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}
