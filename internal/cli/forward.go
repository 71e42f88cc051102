// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/utils/clock"
)

// portForwarder forwards a port of this machine to the operator's pod.
type portForwarder struct {
	config     *rest.Config
	namespace  string // of the operator
	remotePort int    // of the operator's pod; zero: the container port named callback
	clock      clock.Clock
	printErrf  func(format string, args ...any)
}

// restartDelay is the pause before a port-forward that ended is restarted.
const restartDelay = 2 * time.Second

// startPortForward forwards a port of this machine to the operator's pod until ctx ends, and
// returns the port once it accepts connections. If the connection is lost, such as to a pod that is
// replaced, the same port is forwarded again.
func startPortForward(ctx context.Context, o *portForwarder) (int, error) {
	local, ended, err := o.startFirst(ctx)
	if err != nil {
		return 0, err
	}
	go o.keepOpen(ctx, local, ended)
	return local, nil
}

// startFirst forwards the registered port, or any free port if that one is taken.
func (o *portForwarder) startFirst(ctx context.Context) (int, <-chan error, error) {
	usual, err := loopbackPort()
	if err != nil {
		return 0, nil, err
	}
	if isPortFree(ctx, usual) {
		local, ended, err := o.forwardOnce(ctx, usual)
		// The port is bound after connecting to the pod, so another process may have taken it
		// meanwhile.
		if err == nil || ctx.Err() != nil || isPortFree(ctx, usual) {
			return local, ended, err
		}
	}
	o.printErrf("Port %d of this machine is taken; another one is forwarded.", usual)
	return o.forwardOnce(ctx, 0)
}

// keepOpen restarts the port-forward whenever it ends.
func (o *portForwarder) keepOpen(ctx context.Context, local int, ended <-chan error) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case err := <-ended:
			o.printErrf("The port-forward has ended and is being restarted: %v", err)
			ended = o.reopen(ctx, local)
		}
	}
}

// reopen retries until the port is forwarded. It reports only the first error.
func (o *portForwarder) reopen(ctx context.Context, local int) <-chan error {
	for reported := false; ; reported = true {
		select {
		case <-ctx.Done():
			return nil
		case <-o.clock.After(restartDelay):
		}
		_, ended, err := o.forwardOnce(ctx, local)
		switch {
		case err == nil:
			return ended
		case !reported && ctx.Err() == nil:
			o.printErrf("The port-forward cannot be started yet; trying again: %v", err)
		}
	}
}

// forwardOnce starts one port-forward, which ends with ctx. Local zero means any free port. The
// error that ends the port-forward is sent to the channel.
func (o *portForwarder) forwardOnce(ctx context.Context, local int) (int, <-chan error, error) {
	pods, err := newPodClient(o.config)
	if err != nil {
		return 0, nil, fmt.Errorf("make a client for pods: %w", err)
	}
	pod, err := findOperatorPod(ctx, pods, o.namespace)
	if err != nil {
		return 0, nil, err
	}
	remote, err := findCallbackPort(pod, o.remotePort)
	if err != nil {
		return 0, nil, err
	}
	dialer, err := newDialer(o.config,
		pods.Post().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("portforward").URL())
	if err != nil {
		return 0, nil, fmt.Errorf("prepare the port-forward: %w", err)
	}
	ready, ended := make(chan struct{}), make(chan error, 1)
	logged := klog.NewContext(ctx, logr.New(errorLogger{o.printErrf}))
	forwarder, err := portforward.NewOnAddressesForStreamingWithContext(logged, dialer, loopbackAddresses(ctx),
		[]string{fmt.Sprintf("%d:%d", local, remote)}, ready, io.Discard, io.Discard)
	if err != nil {
		return 0, nil, fmt.Errorf("prepare the port-forward: %w", err)
	}
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case <-ctx.Done():
		return 0, nil, context.Cause(ctx)
	case err := <-ended:
		return 0, nil, newExitError(ExitUnreachable, "cannot forward a port to pod %s/%s: %w", pod.Namespace, pod.Name,
			err)
	case <-ready:
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		return 0, nil, fmt.Errorf("read the forwarded port: %w", err)
	}
	local = int(ports[0].Local)
	o.printErrf("Forwarding port %d of this machine to port %d of pod %s/%s.", local, remote, pod.Namespace, pod.Name)
	return local, ended, nil
}

// newDialer uses WebSocket, and falls back to SPDY if a proxy does not support that, as kubectl
// does.
func newDialer(config *rest.Config, u *url.URL) (httpstream.Dialer, error) {
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	second := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, u)
	first, err := portforward.NewSPDYOverWebsocketDialerForStreaming(u, config)
	if err != nil {
		return nil, err
	}
	return portforward.NewFallbackDialerForStreaming(first, second, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}

// loopbackAddresses are the addresses of localhost on this machine. Browsers may choose any of
// them, so the port is bound on all of them.
func loopbackAddresses(ctx context.Context) []string {
	addresses := []string{"127.0.0.1"}
	if tryListen(ctx, "::1", 0) == nil {
		addresses = append(addresses, "::1")
	}
	return addresses
}

// isPortFree reports whether a port can be bound on all loopback addresses.
func isPortFree(ctx context.Context, port int) bool {
	return !slices.ContainsFunc(loopbackAddresses(ctx),
		func(address string) bool { return tryListen(ctx, address, port) != nil })
}

func tryListen(ctx context.Context, address string, port int) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return listener.Close()
}

// errorLogger prints the errors of single connections. Other log messages are discarded.
type errorLogger struct {
	printErrf func(format string, args ...any)
}

// Init implements [logr.LogSink].
func (errorLogger) Init(logr.RuntimeInfo) {}

// Enabled implements [logr.LogSink].
func (errorLogger) Enabled(int) bool { return false }

// Info implements [logr.LogSink].
func (errorLogger) Info(int, string, ...any) {}

// Error prints the error.
func (c errorLogger) Error(err error, message string, _ ...any) {
	c.printErrf("Port-forward: %s: %v", message, err)
}

// WithValues implements [logr.LogSink].
func (c errorLogger) WithValues(...any) logr.LogSink { return c }

// WithName implements [logr.LogSink].
func (c errorLogger) WithName(string) logr.LogSink { return c }
