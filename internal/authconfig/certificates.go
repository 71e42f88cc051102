// SPDX-License-Identifier: Apache-2.0

package authconfig

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"unicode"
)

// scanCertificates returns the certificates of a value, and all of its blocks. Revocation lists and
// parameters beside them are ignored; a value with anything else is refused.
func scanCertificates(raw []byte) (certificates, all []pemBlock, p problem) {
	if all, p = scanPEM(raw); p.isPresent() {
		return nil, nil, p
	}
	for _, block := range all {
		switch {
		case isCertificate(block.Block):
			normal := pemBlock{&pem.Block{Type: typeCertificate, Bytes: block.Bytes}, block.line}
			certificates = append(certificates, normal)
		case !isHarmless(block.Block):
			return nil, nil, problemAt(block.line, "holds "+describeBlock(block.Block)+
				" where only certificates belong: write "+typeCertificate+" blocks")
		}
	}
	if len(certificates) == 0 {
		return nil, nil, problem{text: "holds " + describeBlock(all[0].Block) + " and no certificate: write " +
			typeCertificate + " blocks"}
	}
	return certificates, all, problem{}
}

// parseChain reads a certificate and its issuers. It returns them with the PEM to publish.
func parseChain(raw []byte) ([]*x509.Certificate, []byte, problem) {
	blocks, all, p := scanCertificates(raw)
	if p.isPresent() {
		return nil, nil, p
	}
	chain := make([]*x509.Certificate, 0, len(blocks))
	for i, block := range blocks {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil { // it may quote a certificate, which is public
			text := fmt.Sprintf("%s cannot be read: write another one", describeCertificate(i, block))
			return nil, nil, problem{text: text, err: err}
		}
		chain = append(chain, certificate)
	}
	return chain, publishedPEM(raw, all, blocks, true), problem{}
}

// maxSkipped limits the number of certificates that a warning names.
const maxSkipped = 5

// parseBundle reads the certificates of authorities. Those that cannot be read are not trusted, and
// named in skipped; at least one can be read.
func parseBundle(raw []byte) (bundle trust, skipped string, p problem) {
	blocks, all, p := scanCertificates(raw)
	if p.isPresent() {
		return trust{}, "", p
	}
	kept := make([]pemBlock, 0, len(blocks))
	var unreadable []string
	for i, block := range blocks {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			unreadable = append(unreadable, describeCertificate(i, block)+": "+err.Error())
			continue
		}
		kept, bundle.certificates = append(kept, block), append(bundle.certificates, certificate)
	}
	named := unreadable[:min(len(unreadable), maxSkipped)]
	skipped = strings.Join(named, "; ")
	if more := len(unreadable) - len(named); more > 0 {
		skipped += fmt.Sprintf("; and %d more", more)
	}
	if len(kept) == 0 {
		return trust{}, "", problem{text: "holds no certificate that can be read; write one: " + skipped}
	}
	bundle.pem = publishedPEM(raw, all, kept, len(unreadable) == 0)
	return bundle, skipped, problem{}
}

// describeCertificate names a certificate by its number, line and, if it can be read, subject.
func describeCertificate(index int, block pemBlock) string {
	text := fmt.Sprintf("certificate %d (line %d", index+1, block.line)
	if subject := subjectOf(block.Bytes); subject != "" {
		text += ", " + subject
	}
	return text + ")"
}

// maxSubject limits a subject in a message, in runes.
const maxSubject = 100

// subjectOf returns the subject of a certificate that crypto/x509 cannot parse. It is empty if that
// cannot be read either.
func subjectOf(der []byte) string {
	var certificate struct {
		Signed struct {
			Version               int `asn1:"optional,explicit,default:0,tag:0"`
			Serial                *big.Int
			Signature             asn1.RawValue
			Issuer, Valid         asn1.RawValue
			Subject               asn1.RawValue
			SubjectPublicKeyInfos asn1.RawValue
		}
	}
	var names pkix.RDNSequence
	if _, err := asn1.Unmarshal(der, &certificate); err != nil {
		return ""
	}
	if _, err := asn1.Unmarshal(certificate.Signed.Subject.FullBytes, &names); err != nil {
		return ""
	}
	subject := []rune(strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return -1
		}
		return c
	}, strings.ToValidUTF8(names.String(), "")))
	if len(subject) > maxSubject {
		subject = append(subject[:maxSubject-1], '…')
	}
	return string(subject)
}
