// SPDX-License-Identifier: Apache-2.0

package authconfig

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"strings"
)

// pemBegin is the start of a block (RFC 7468).
const pemBegin = "-----BEGIN"

const (
	typeCertificate = "CERTIFICATE"
	typePrivateKey  = "PRIVATE KEY" // suffix of all types of private keys
	typeECParams    = "EC PARAMETERS"
)

// splitPEM splits PEM text. Other text is allowed before a block, such as a comment. A damaged
// block, and text after the last block, are problems: pem.Decode would skip them silently and half
// a bundle would be used.
func splitPEM(data []byte) ([]*pem.Block, problem) {
	begun := bytes.Count(data, []byte(pemBegin))
	if begun == 0 {
		return nil, problem{text: "holds no PEM: write text that starts with " + pemBegin}
	}
	var found []*pem.Block
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		found, data = append(found, block), rest
	}
	switch {
	case len(found) != begun:
		return nil, problem{text: "holds a PEM block that is cut off or damaged: write it again, from its BEGIN line to " +
			"its END line"}
	case len(bytes.TrimSpace(data)) > 0:
		return nil, problem{text: "has text after its last PEM block: remove it"}
	}
	return found, problem{}
}

// parseCertificates reads PEM that contains certificates and nothing else.
func parseCertificates(data []byte) ([]*x509.Certificate, problem) {
	found, p := splitPEM(data)
	if p.isPresent() {
		return nil, p
	}
	out := make([]*x509.Certificate, 0, len(found))
	for _, block := range found {
		if block.Type != typeCertificate {
			return nil, problem{text: "holds " + describeBlock(block) + " where only certificates belong: write " +
				typeCertificate + " blocks"}
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil { // it may quote a certificate, which is public
			return nil, problem{text: "holds a certificate that cannot be read: write it again", err: err}
		}
		out = append(out, certificate)
	}
	return out, problem{}
}

// describeBlock names the type of a block. Unknown types are not quoted, because they may contain
// anything.
func describeBlock(block *pem.Block) string {
	switch {
	case block.Type == typeCertificate:
		return "a certificate"
	case strings.HasSuffix(block.Type, typePrivateKey):
		return "a private key"
	case strings.HasSuffix(block.Type, "PUBLIC KEY"):
		return "a public key"
	case strings.HasSuffix(block.Type, "CERTIFICATE REQUEST"):
		return "a certificate request"
	case block.Type == "TRUSTED CERTIFICATE":
		return "a certificate with OpenSSL's trust settings"
	case block.Type == "PKCS7", block.Type == "CMS":
		return "a PKCS #7 bundle"
	case block.Type == "X509 CRL":
		return "a revocation list"
	case block.Type == typeECParams, block.Type == "DH PARAMETERS":
		return "parameters of a key"
	}
	return "a PEM block of another kind"
}
