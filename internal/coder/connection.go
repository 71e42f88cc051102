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
	wrote atomic.Bool // the request header was written, which precedes the body

	mu  sync.Mutex
	tls *tls.Conn
}

func (c *connection) gotConn(info httptrace.GotConnInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tls, _ = info.Conn.(*tls.Conn)
}

// explainError returns the error that explains err best. If a request failed because the connection
// broke, that is the alert that the server sent before it closed the connection (B104). A tls.Conn
// keeps it and returns it from every later Read. The transport has closed the connection by then,
// so that this Read does not block.
func (c *connection) explainError(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tls == nil || alertOf(err) != 0 || !isBroken(err) {
		return err
	}
	// Closing first ensures that the Read does not block, whatever the transport did.
	_ = c.tls.NetConn().Close()
	if _, readErr := c.tls.Read(make([]byte, 1)); alertOf(readErr) != 0 {
		return readErr
	}
	return err
}

// isBroken reports whether err means that the other side has closed the connection.
func isBroken(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}
