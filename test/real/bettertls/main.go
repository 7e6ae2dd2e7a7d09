// Prints the cases of bettertls as JSON, one a line, with the keys that its own export leaves out: whoever shows a certificate in a handshake needs its key.
// The first line is the root that is trusted.
package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"log"
	"os"

	"github.com/Netflix/bettertls/test-suites/certutil"
	testcase "github.com/Netflix/bettertls/test-suites/test-case"
	executor "github.com/Netflix/bettertls/test-suites/test-executor"
)

type exported struct {
	Suite        string   `json:"suite"`
	Id           uint     `json:"id"`
	Certificates [][]byte `json:"certificates"`
	// PKCS#8; left out where it is the one of the case before.
	Key      []byte   `json:"key,omitempty"`
	Hostname string   `json:"hostname"`
	Features []string `json:"features"`
	Accept   bool     `json:"accept"`
	// The other verdict is tolerable.
	Soft bool `json:"soft"`
}

func main() {
	root, rootKey, err := certutil.GenerateSelfSignedCert("bettertls_trust_root")
	must(err)
	suites, err := executor.BuildTestSuitesWithRootCa(root, rootKey)
	must(err)
	lines := json.NewEncoder(os.Stdout)
	must(lines.Encode(map[string][]byte{"root": root.Raw}))
	var lastKey []byte
	for _, name := range suites.GetProviderNames() {
		provider := suites.GetProvider(name)
		count, err := provider.GetTestCaseCount()
		must(err)
		for id := range count {
			test, err := provider.GetTestCase(id)
			must(err)
			certificates, err := test.GetCertificates(root, rootKey)
			must(err)
			key, err := x509.MarshalPKCS8PrivateKey(certificates.PrivateKey)
			must(err)
			out := exported{Suite: name, Id: id, Certificates: certificates.Certificate, Hostname: test.GetHostname(), Features: []string{}}
			if !bytes.Equal(key, lastKey) {
				out.Key, lastKey = key, key
			}
			for _, feature := range test.RequiredFeatures() {
				out.Features = append(out.Features, provider.DescribeFeature(feature))
			}
			result := test.ExpectedResult()
			out.Accept = result == testcase.EXPECTED_RESULT_PASS || result == testcase.EXPECTED_RESULT_SOFT_PASS
			out.Soft = result == testcase.EXPECTED_RESULT_SOFT_PASS || result == testcase.EXPECTED_RESULT_SOFT_FAIL
			must(lines.Encode(out))
		}
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
