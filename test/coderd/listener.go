// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// ListenOptions says how a server listens. The zero value is plain HTTP on a free loopback port.
type ListenOptions struct {
	// Address is host:port; "" is 127.0.0.1:0. Only loopback addresses are allowed, unless
	// AnyInterface is set.
	Address string
	// AnyInterface allows other addresses, for use in a pod, which has its own network.
	AnyInterface bool
	// MinVersion and MaxVersion bound TLS, e.g. tls.VersionTLS12; 0 is Go's default.
	MinVersion, MaxVersion uint16
	// HTTP2 offers HTTP/2 beside HTTP/1.1, on TLS only.
	HTTP2 bool
	// Edge is the listener's first edge.
	Edge Edge
}

// Listener is a port on which a server answers. Several listeners, each with its own edge, can
// share a server.
type Listener struct {
	server *Server
	opts   ListenOptions
	secure bool

	lifecycle sync.Mutex // serializes Stop and Restart

	mu         sync.Mutex
	edge       Edge
	generation int
	idle       map[*edgeConn]struct{}
	address    string
	http       *http.Server
	stop       chan struct{} // closed by Stop
	done       chan struct{} // closed when serving has ended
	handshakes HandshakeCount
}

// HandshakeCount counts TLS handshakes: those that began and those in which the client's
// certificate was accepted.
type HandshakeCount struct{ Started, Accepted int }

// Start puts the server on a port and returns when it accepts connections.
func (s *Server) Start(opts ListenOptions) (*Listener, error) {
	if opts.Address == "" {
		opts.Address = "127.0.0.1:0"
	}
	l := &Listener{
		server: s, opts: opts, secure: opts.Edge.Certificate != nil,
		idle: map[*edgeConn]struct{}{}, edge: opts.Edge, address: opts.Address,
	}
	if err := l.Restart(); err != nil {
		return nil, err
	}
	return l, nil
}

// URL is the listener's base URL without a trailing slash; it stays the same over Stop and Restart.
func (l *Listener) URL() string {
	if l.secure {
		return "https://" + l.Address()
	}
	return "http://" + l.Address()
}

// Address is the listener's host:port.
func (l *Listener) Address() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.address
}

// Handshakes returns the TLS handshakes so far.
func (l *Listener) Handshakes() HandshakeCount {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.handshakes
}

// Restart listens again on the same port after Stop. It does nothing while the listener runs.
func (l *Listener) Restart() error {
	l.lifecycle.Lock()
	defer l.lifecycle.Unlock()
	if l.isRunning() {
		return nil
	}
	tcp, err := listenTCP(l.Address(), l.opts.AnyInterface)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           l.server,
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0), // tests refuse handshakes on purpose
		ConnContext:       l.connContext,
		ConnState:         l.connState,
		Protocols:         new(http.Protocols),
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetHTTP2(l.secure && l.opts.HTTP2)
	done := make(chan struct{})
	l.mu.Lock()
	l.address, l.http, l.stop, l.done = tcp.Addr().String(), server, make(chan struct{}), done
	l.mu.Unlock()
	go func() {
		defer close(done)
		l.serveConnections(server, edgeListener{Listener: tcp, owner: l})
	}()
	return nil
}

// serveConnections runs until Stop closes the server. After any other error the port is closed as
// well, and clients fail to connect.
func (l *Listener) serveConnections(server *http.Server, inner net.Listener) {
	if !l.secure {
		_ = server.Serve(inner)
		return
	}
	server.TLSConfig = &tls.Config{
		MinVersion: l.opts.MinVersion,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			l.mu.Lock()
			l.handshakes.Started++
			l.mu.Unlock()
			return l.tlsConfig(hello.Conn.(*edgeConn)), nil
		},
	}
	_ = server.ServeTLS(inner, "", "")
}

// Stop simulates an outage: it closes the port and all connections, also those of held requests.
// Restart ends the outage.
func (l *Listener) Stop() {
	l.lifecycle.Lock()
	defer l.lifecycle.Unlock()
	if !l.isRunning() {
		return
	}
	l.mu.Lock()
	server, stop, done := l.http, l.stop, l.done
	l.http = nil
	clear(l.idle)
	l.mu.Unlock()
	close(stop)
	_ = server.Close()
	<-done
}

// Close stops the listener. It never fails; the error is there for io.Closer.
func (l *Listener) Close() error {
	l.Stop()
	return nil
}

// Shutdown stops the listener after the current requests have been answered, or when the context
// ends. All open streams of the server, also those of its other listeners, are closed with code
// 1001 (chosen).
func (l *Listener) Shutdown(ctx context.Context) error {
	l.mu.Lock()
	server := l.http
	l.mu.Unlock()
	if server == nil {
		return nil
	}
	l.server.endStreams(ctx)
	err := server.Shutdown(ctx)
	l.Stop()
	return err
}

func (l *Listener) isRunning() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.http != nil
}

func (l *Listener) stopSignal() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stop
}

func (l *Listener) offeredProtocols() []string {
	if l.opts.HTTP2 {
		return []string{"h2", "http/1.1"}
	}
	return []string{"http/1.1"}
}

var errNotLoopback = errors.New("only loopback addresses may be listened on")

func listenTCP(address string, anyInterface bool) (net.Listener, error) {
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", address, err)
	}
	if !anyInterface && !resolved.IP.IsLoopback() {
		return nil, fmt.Errorf("listening on %s: %w", address, errNotLoopback)
	}
	tcp, err := net.ListenTCP("tcp", resolved)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", address, err)
	}
	return tcp, nil
}
