// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// version is set by the linker.
var version = "devel"

// shutdownTimeout bounds how long requests under way may take after a signal.
const shutdownTimeout = 5 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		_, _ = fmt.Fprintln(os.Stderr, "coderd-sim:", err)
		os.Exit(1)
	}
}

// run serves until the context ends. It prints the two URLs to out once both ports accept
// connections.
func run(ctx context.Context, args []string, out, errOut io.Writer) error {
	s, err := parseSettings(args, errOut)
	if err != nil {
		return err
	}
	if s.version {
		_, err = fmt.Fprintln(out, version)
		return err
	}
	edge, err := s.loadEdge()
	if err != nil {
		return err
	}
	server := coderd.New(s.options)
	server.SetOAuth2Provider(s.oauth2Provider)
	if err := seedServer(server, s.seed, s.seedTokens); err != nil {
		return err
	}
	listener, err := server.Start(coderd.ListenOptions{
		Address: s.listen, AnyInterface: s.anyInterface, Edge: edge, HTTP2: s.http2,
	})
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }()
	adminURL, stopAdmin, err := startAdmin(s.adminListen, server.AdminHandler(listener))
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "url=%s\nadmin_url=%s\n", listener.URL(), adminURL); err != nil {
		return fmt.Errorf("printing the URLs: %w", err)
	}
	<-ctx.Done()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	// Requests held by a gate do not end by themselves; the listener closes them after the timeout.
	return errors.Join(ignoreDeadline(listener.Shutdown(ending)), ignoreDeadline(stopAdmin(ending)))
}

func ignoreDeadline(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// startAdmin serves the administration on loopback only, because it does not authenticate callers.
func startAdmin(address string, handler http.Handler) (string, func(context.Context) error, error) {
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return "", nil, fmt.Errorf("administration address: %w", err)
	}
	if !resolved.IP.IsLoopback() {
		return "", nil, fmt.Errorf("administration address %s is not loopback", address)
	}
	listener, err := net.ListenTCP("tcp", resolved)
	if err != nil {
		return "", nil, fmt.Errorf("administration port: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }() // ends by Shutdown
	return "http://" + listener.Addr().String(), server.Shutdown, nil
}
