// SPDX-License-Identifier: Apache-2.0

package authconfig

import (
	"encoding/pem"
	"strings"
)

// Parts of the lines around a block (RFC 7468).
const (
	markerEdge = "-----"
	pemBegin   = markerEdge + "BEGIN"
	pemEnd     = markerEdge + "END"
)

const (
	typeCertificate = "CERTIFICATE"
	typePrivateKey  = "PRIVATE KEY" // suffix of all types of private keys
	typeECParams    = "EC PARAMETERS"
	typeCRL         = "X509 CRL"
)

// isCertificate reports whether a block is a certificate, also by the names that old programs use.
func isCertificate(block *pem.Block) bool {
	return block.Type == typeCertificate || block.Type == "X509 CERTIFICATE"
}

// isHarmless reports whether a block beside certificates says nothing about whom to trust or who the
// caller is.
func isHarmless(block *pem.Block) bool {
	return block.Type == typeCRL || block.Type == typeECParams || block.Type == "DH PARAMETERS"
}

// describeBlock names the type of a block. Unknown types are not quoted, because they may contain
// anything.
func describeBlock(block *pem.Block) string {
	switch {
	case isCertificate(block):
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
	case block.Type == typeCRL:
		return "a revocation list"
	case isHarmless(block):
		return "parameters of a key"
	}
	return "a PEM block of another kind"
}
