// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"sync"
)

// TLS record constants (RFC 8446, sections 5.1 and 6).
const (
	recordAlert       = 21
	recordApplication = 23
	recordHeader      = 5
	alertFatal        = 2
)

// serverSecretLabel is the key log's name of the TLS 1.3 secret that protects the server's first
// application record.
const serverSecretLabel = "SERVER_TRAFFIC_SECRET_0"

// alertRewriter makes a connection send a chosen alert, which crypto/tls has no API for. crypto/tls
// is made to refuse the connection with its own alert, and that record is rewritten when it is
// sent:
//
//   - TLS 1.2: the server refuses before its Finished message, while it still writes unencrypted,
//     so the byte with the alert's number is replaced. The client's handshake fails with that
//     alert.
//   - TLS 1.3: at that point the server writes with its application traffic keys, and the client's
//     handshake is complete. The client gets the alert with its first read, as when a server
//     refuses its certificate. The record is encrypted again with the same key, which is taken from
//     the connection's key log, and sequence number 0.
//
// ChaCha20-Poly1305 is not in the standard library. If a client without AES hardware negotiates it
// in TLS 1.3, no alert is sent and the connection is closed.
type alertRewriter struct {
	mu     sync.Mutex
	number uint8 // 0: not armed
	state  tls.ConnectionState
	secret []byte // of TLS 1.3
}

// Write receives a line of the connection's key log. It keeps only the one secret, in memory.
func (a *alertRewriter) Write(line []byte) (int, error) {
	fields := bytes.Fields(line)
	if len(fields) == 3 && string(fields[0]) == serverSecretLabel {
		secret := make([]byte, hex.DecodedLen(len(fields[2])))
		if _, err := hex.Decode(secret, fields[2]); err != nil {
			return 0, err
		}
		a.mu.Lock()
		a.secret = secret
		a.mu.Unlock()
	}
	return len(line), nil
}

// armAlert chooses the alert. From then on it replaces every alert and application record that the
// connection writes.
func (a *alertRewriter) armAlert(number uint8, state tls.ConnectionState) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.number, a.state = number, state
}

func (a *alertRewriter) rewriteRecord(p []byte) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.number == 0 || len(p) <= recordHeader {
		return p
	}
	switch p[0] {
	case recordAlert:
		return append(bytes.Clone(p[:recordHeader]), alertFatal, a.number)
	case recordApplication:
		record, err := a.sealAlert()
		if err != nil {
			return nil
		}
		return record
	default:
		return p
	}
}

// sealAlert builds the TLS 1.3 alert record: header, then the sealed alert with its content type
// (RFC 8446, section 5.2).
func (a *alertRewriter) sealAlert() ([]byte, error) {
	aead, iv, err := a.trafficKeys()
	if err != nil {
		return nil, err
	}
	plain := []byte{alertFatal, a.number, recordAlert}
	header := []byte{recordApplication, 3, 3, 0, 0}
	binary.BigEndian.PutUint16(header[3:], uint16(len(plain)+aead.Overhead()))
	return aead.Seal(header, iv, plain, header), nil // the nonce of sequence number 0 is the IV itself
}

func (a *alertRewriter) trafficKeys() (cipher.AEAD, []byte, error) {
	newHash, keyLength := sha256.New, 16
	switch a.state.CipherSuite {
	case tls.TLS_AES_128_GCM_SHA256:
	case tls.TLS_AES_256_GCM_SHA384:
		newHash, keyLength = sha512.New384, 32
	default:
		return nil, nil, errRefused
	}
	key, err := expandLabel(newHash, a.secret, "key", keyLength)
	if err != nil {
		return nil, nil, err
	}
	iv, err := expandLabel(newHash, a.secret, "iv", 12)
	if err != nil {
		return nil, nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, err
	}
	aead, err := cipher.NewGCM(block)
	return aead, iv, err
}

// expandLabel is HKDF-Expand-Label with an empty context (RFC 8446, section 7.1).
func expandLabel(newHash func() hash.Hash, secret []byte, label string, length int) ([]byte, error) {
	full := "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(length))
	info = append(info, byte(len(full)))
	info = append(info, full...)
	info = append(info, 0)
	return hkdf.Expand(newHash, secret, string(info), length)
}
