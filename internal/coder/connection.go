// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"syscall"
)

// connection is the connection that a request was last sent on.
type connection struct {
	wrote atomic.Bool // the request's header was written, and its body comes after that

	mu  sync.Mutex
	tls *tls.Conn
}

func (c *connection) got(info httptrace.GotConnInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tls, _ = info.Conn.(*tls.Conn)
}

// reason returns the error that explains err best: where a request failed because the connection broke, the alert
// that the server sent before it closed (B104). A tls.Conn keeps that and returns it to every later Read; the transport has
// closed the connection by then, so that this Read does not wait.
func (c *connection) reason(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tls == nil || alertOf(err) != 0 || !broken(err) {
		return err
	}
	// Closing first makes sure that the Read does not wait, whatever the transport did.
	_ = c.tls.NetConn().Close()
	if _, readErr := c.tls.Read(make([]byte, 1)); alertOf(readErr) != 0 {
		return readErr
	}
	return err
}

// broken reports whether err is that of a connection which the other side has closed.
func broken(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}
