// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // RFC 6455 wants it
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
)

// Opcodes and lengths of frames (RFC 6455, section 5.2).
const (
	opContinuation = 0
	opText         = 1
	final          = 0x80
	length64       = 127
)

// Socket accepts a WebSocket and calls send, which writes to the connection until that breaks. What the
// client sends is not read.
func Socket(send func(io.Writer) error) Behaviour {
	return func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
		sum := sha1.Sum([]byte(key)) //nolint:gosec // see above
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Sec-WebSocket-Accept", base64.StdEncoding.EncodeToString(sum[:]))
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err) // a server of net/http can do it
		}
		defer func() { _ = conn.Close() }()
		to := bufio.NewWriter(conn)
		if send(to) == nil && to.Flush() == nil {
			_, _ = io.Copy(io.Discard, conn) // until the client goes away
		}
	}
}

// frame begins a frame of a size.
func frame(first byte, size uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte{first, length64}, size))
}

// HugeFrame begins a message in one frame of the size that the text repeated without end has.
func HugeFrame(text string) Behaviour {
	return Socket(func(to io.Writer) error {
		_, err := io.WriteString(to, frame(final|opText, 1<<60))
		for err == nil {
			_, err = io.WriteString(to, text)
		}
		return err
	})
}

// EndlessMessage sends a message in frames without a last one.
func EndlessMessage(text string) Behaviour {
	return Socket(func(to io.Writer) error {
		_, err := io.WriteString(to, frame(opText, uint64(len(text)))+text)
		for err == nil {
			_, err = io.WriteString(to, frame(opContinuation, uint64(len(text)))+text)
		}
		return err
	})
}

// Messages sends the same message without a pause.
func Messages(text string) Behaviour {
	return Socket(func(to io.Writer) error {
		var err error
		for err == nil {
			_, err = io.WriteString(to, frame(final|opText, uint64(len(text)))+text)
		}
		return err
	})
}

// DrippingFrame sends the beginning of a message, and then nothing.
func DrippingFrame(text string) Behaviour {
	return Socket(func(to io.Writer) error {
		_, err := io.WriteString(to, frame(final|opText, 1<<20)+text)
		return err
	})
}
