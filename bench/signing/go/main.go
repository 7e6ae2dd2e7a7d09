// Issues workload certificates as a CA written in Go would, and prints the processor time: the yardstick of bench/signing.
//
// Arguments: a PEM file with the CA's certificate and PKCS#8 key, a PEM file with certificate requests, the SPIFFE ID to certify, and a PEM file with one
// certificate that the other contender made, which must verify. Each line on standard input is a number of certificates to issue; each answer is
// the nanoseconds of processor time of the whole process.
package main

import (
	"bufio"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log"
	"math/big"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"
)

type issuer struct {
	certificate *x509.Certificate
	key         crypto.Signer
	identity    *url.URL
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 5 {
		log.Fatal("usage: signing CA REQUESTS SPIFFE-ID CERTIFICATE")
	}
	ca := load(os.Args[1], os.Args[3])
	var requests [][]byte
	for _, block := range blocks(os.Args[2]) {
		requests = append(requests, block.Bytes)
	}
	ca.check(blocks(os.Args[4])[0].Bytes)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		count, err := strconv.Atoi(lines.Text())
		must(err)
		before := processorNanos()
		for i := range count {
			ca.issue(requests[i%len(requests)])
		}
		fmt.Println(processorNanos() - before)
	}
}

func (ca issuer) issue(request []byte) []byte {
	csr, err := x509.ParseCertificateRequest(request)
	must(err)
	must(csr.CheckSignature())
	serial := make([]byte, 16)
	_, err = rand.Read(serial)
	must(err)
	serial[0] = serial[0]&0x3f | 0x40
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(serial),
		NotBefore:             now.Add(-time.Minute),
		NotAfter:              now.Add(24 * time.Hour),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:                  []*url.URL{ca.identity},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, ca.certificate, csr.PublicKey, ca.key)
	must(err)
	return certificate
}

// The other contender's certificate is one that Go accepts: both do the same job.
func (ca issuer) check(der []byte) {
	certificate, err := x509.ParseCertificate(der)
	must(err)
	roots := x509.NewCertPool()
	roots.AddCert(ca.certificate)
	_, err = certificate.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	must(err)
	if len(certificate.URIs) != 1 || certificate.URIs[0].String() != ca.identity.String() {
		log.Fatal("the other contender's certificate is for another identity")
	}
}

func load(path string, identity string) issuer {
	parts := blocks(path)
	certificate, err := x509.ParseCertificate(parts[0].Bytes)
	must(err)
	key, err := x509.ParsePKCS8PrivateKey(parts[1].Bytes)
	must(err)
	uri, err := url.Parse(identity)
	must(err)
	return issuer{certificate, key.(crypto.Signer), uri}
}

func blocks(path string) []*pem.Block {
	rest, err := os.ReadFile(path)
	must(err)
	var found []*pem.Block
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return found
		}
		found = append(found, block)
	}
}

func processorNanos() int64 {
	var usage syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
