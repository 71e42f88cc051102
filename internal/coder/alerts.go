// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math"
	"net"
)

// Numbers of TLS alerts about the client's certificate (RFC 8446, section 6; 44 is from RFC 5246).
const (
	alertHandshakeFailure       = 40
	alertBadCertificate         = 42
	alertUnsupportedCertificate = 43
	alertCertificateRevoked     = 44
	alertCertificateExpired     = 45
	alertCertificateUnknown     = 46
	alertUnknownCA              = 48
	alertAccessDenied           = 49
	alertCertificateRequired    = 116
)

// alertOf returns the number of the alert that the peer sent, or 0.
//
// Over TCP, crypto/tls reports an alert as a net.OpError with the operation "remote error", which
// wraps an unexported type. The exported AlertError, which is used for QUIC, has the same numbers
// and texts, so the number is found by comparing the texts. This is the only place that does so.
func alertOf(err error) uint8 {
	var exported tls.AlertError
	if errors.As(err, &exported) {
		return uint8(exported)
	}
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" || op.Err == nil {
		return 0
	}
	text := op.Err.Error()
	for n := 1; n <= math.MaxUint8; n++ {
		if tls.AlertError(n).Error() == text {
			return uint8(n)
		}
	}
	return 0
}

// alertKind returns the kind of an alert, given whether the handshake requested and sent a client
// certificate. An alert that may have other causes is attributed to the certificate only if the
// server requested one.
func alertKind(alert uint8, asked, sent bool) Kind {
	switch alert {
	case alertCertificateRequired:
		return ClientCertificateRequired
	case alertBadCertificate:
		if asked && !sent { // how crypto/tls and others say "required" in TLS 1.2
			return ClientCertificateRequired
		}
		return ClientCertificateRejected
	case alertCertificateRevoked, alertCertificateExpired, alertCertificateUnknown:
		return ClientCertificateRejected
	case alertUnsupportedCertificate, alertUnknownCA, alertAccessDenied:
		return ClientCertificateRefused
	case alertHandshakeFailure:
		switch {
		case asked && sent:
			return ClientCertificateRefused
		case asked:
			return ClientCertificateRequired
		}
	}
	return Unavailable
}

// isUntrusted reports whether err means that the client does not trust the server's certificate.
func isUntrusted(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		name         x509.HostnameError
		invalid      x509.CertificateInvalidError
		roots        x509.SystemRootsError
	)
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &name) ||
		errors.As(err, &invalid) || errors.As(err, &roots)
}
