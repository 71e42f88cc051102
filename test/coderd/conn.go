// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// lingerTimeout bounds how long a refused connection is kept half open.
const lingerTimeout = time.Second

// edgeListener wraps accepted connections.
type edgeListener struct {
	net.Listener
	owner *Listener
}

func (el edgeListener) Accept() (net.Conn, error) {
	conn, err := el.Listener.Accept()
	if err != nil {
		return nil, err
	}
	el.owner.mu.Lock()
	defer el.owner.mu.Unlock()
	return &edgeConn{Conn: conn, generation: el.owner.generation, accepted: !el.owner.secure}, nil
}

// edgeConn is a TCP connection that knows the generation of the edge when it was accepted, and can
// replace the TLS alert that is sent through it.
type edgeConn struct {
	net.Conn
	generation int
	alert      alertRewriter

	mu       sync.Mutex
	accepted bool // the client's certificate was accepted
	closed   bool
}

func (c *edgeConn) Write(p []byte) (int, error) {
	if _, err := c.Conn.Write(c.alert.rewriteRecord(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close of a refused connection closes the sending side and reads what the client still sends.
// Closing both sides at once would answer that data with a TCP reset, which could reach the client
// before the alert.
func (c *edgeConn) Close() error {
	c.mu.Lock()
	linger := !c.accepted && !c.closed
	c.closed = true
	c.mu.Unlock()
	tcp, ok := c.Conn.(*net.TCPConn)
	if !linger || !ok {
		return c.Conn.Close()
	}
	_ = tcp.CloseWrite()
	timer := time.AfterFunc(lingerTimeout, func() { _ = tcp.Close() })
	go func() {
		defer timer.Stop()
		_, _ = io.Copy(io.Discard, tcp)
		_ = tcp.Close()
	}()
	return nil
}

var errRefused = errors.New("connection refused by an injected alert")

// verifyConnection is the last step of the handshake that checks the client's certificate. An
// injected alert applies here: crypto/tls answers the error with bad_certificate, which the
// connection replaces by the chosen alert.
func (l *Listener) verifyConnection(conn *edgeConn, state tls.ConnectionState) error {
	if alert := l.server.faults.takeAlert(); alert != 0 {
		conn.alert.armAlert(alert, state)
		return errRefused
	}
	conn.mu.Lock()
	conn.accepted = true
	conn.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.handshakes.Accepted++
	return nil
}

type connContextKey struct{}

// boundConn tells a request on which listener and connection it arrived.
type boundConn struct {
	listener *Listener
	conn     *edgeConn
}

func (l *Listener) connContext(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connContextKey{}, boundConn{listener: l, conn: unwrapConn(conn)})
}

func unwrapConn(conn net.Conn) *edgeConn {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	return conn.(*edgeConn)
}

func listenerOf(r *http.Request) *Listener {
	bound, _ := r.Context().Value(connContextKey{}).(boundConn)
	return bound.listener
}

func connOf(r *http.Request) *edgeConn {
	bound, _ := r.Context().Value(connContextKey{}).(boundConn)
	return bound.conn
}

func (l *Listener) isOutdated(conn *edgeConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return conn.generation != l.generation
}

// connState maintains the set of idle connections, which UpdateEdge closes. A connection from
// before the last update is closed as soon as it is idle.
func (l *Listener) connState(conn net.Conn, state http.ConnState) {
	c := unwrapConn(conn)
	l.mu.Lock()
	defer l.mu.Unlock()
	if state != http.StateIdle {
		delete(l.idle, c)
		return
	}
	if c.generation != l.generation {
		_ = c.Close()
		return
	}
	l.idle[c] = struct{}{}
}
