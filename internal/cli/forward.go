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

// forwardOptions say what is forwarded to where.
type forwardOptions struct {
	config     *rest.Config
	namespace  string // of the operator
	remotePort int    // of its pod; zero: the one with the name
	clock      clock.Clock
	say        func(format string, args ...any)
}

// again is the pause before a port-forward that ended is started anew.
const again = 2 * time.Second

// startForward forwards a port of this machine to the operator's pod until ctx ends, and returns the port once it takes
// connections. Where the connection is lost, such as to a pod that is replaced, the same port is forwarded anew.
func startForward(ctx context.Context, o *forwardOptions) (int, error) {
	local, ended, err := o.first(ctx)
	if err != nil {
		return 0, err
	}
	go o.keep(ctx, local, ended)
	return local, nil
}

// first forwards the port that is registered, or any other if that is taken.
func (o *forwardOptions) first(ctx context.Context) (int, <-chan error, error) {
	usual, err := loopbackPort()
	if err != nil {
		return 0, nil, err
	}
	if free(ctx, usual) {
		local, ended, err := o.open(ctx, usual)
		// It listens once it has connected, and somebody else may have been faster.
		if err == nil || ctx.Err() != nil || free(ctx, usual) {
			return local, ended, err
		}
	}
	o.say("Port %d of this machine is taken; another one is forwarded.", usual)
	return o.open(ctx, 0)
}

// keep opens the port-forward anew whenever it has ended.
func (o *forwardOptions) keep(ctx context.Context, local int, ended <-chan error) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case err := <-ended:
			o.say("The port-forward has ended and is started anew: %v", err)
			ended = o.reopen(ctx, local)
		}
	}
}

// reopen tries until the port is forwarded, and says once why it is not.
func (o *forwardOptions) reopen(ctx context.Context, local int) <-chan error {
	for told := false; ; told = true {
		select {
		case <-ctx.Done():
			return nil
		case <-o.clock.After(again):
		}
		_, ended, err := o.open(ctx, local)
		switch {
		case err == nil:
			return ended
		case !told && ctx.Err() == nil:
			o.say("The port-forward cannot be started yet; trying again: %v", err)
		}
	}
}

// open starts one port-forward, which ends with ctx. Zero is any free port. How it ends is sent to the channel.
func (o *forwardOptions) open(ctx context.Context, local int) (int, <-chan error, error) {
	pods, err := podClient(o.config)
	if err != nil {
		return 0, nil, fmt.Errorf("make a client for pods: %w", err)
	}
	pod, err := operatorPod(ctx, pods, o.namespace)
	if err != nil {
		return 0, nil, err
	}
	remote, err := callbackPort(pod, o.remotePort)
	if err != nil {
		return 0, nil, err
	}
	dialer, err := dialerTo(o.config, pods.Post().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("portforward").URL())
	if err != nil {
		return 0, nil, fmt.Errorf("prepare the port-forward: %w", err)
	}
	ready, ended := make(chan struct{}), make(chan error, 1)
	logged := klog.NewContext(ctx, logr.New(complaints{o.say}))
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
		return 0, nil, exit(ExitUnreachable, "cannot forward a port to pod %s/%s: %w", pod.Namespace, pod.Name, err)
	case <-ready:
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		return 0, nil, fmt.Errorf("read the forwarded port: %w", err)
	}
	local = int(ports[0].Local)
	o.say("Forwarding port %d of this machine to port %d of pod %s/%s.", local, remote, pod.Namespace, pod.Name)
	return local, ended, nil
}

// dialerTo tries a WebSocket, and SPDY where something on the way does not let that pass, as kubectl does.
func dialerTo(config *rest.Config, u *url.URL) (httpstream.Dialer, error) {
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

// loopbackAddresses are those of localhost on this machine. Which of them a browser takes is its own affair, so a port is to be
// had at all of them.
func loopbackAddresses(ctx context.Context) []string {
	addresses := []string{"127.0.0.1"}
	if listenable(ctx, "::1", 0) == nil {
		addresses = append(addresses, "::1")
	}
	return addresses
}

// free reports whether a port of this machine is to be had.
func free(ctx context.Context, port int) bool {
	return !slices.ContainsFunc(loopbackAddresses(ctx), func(address string) bool { return listenable(ctx, address, port) != nil })
}

func listenable(ctx context.Context, address string, port int) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return listener.Close()
}

// complaints says what goes wrong with single connections; all else that is logged is nobody's concern.
type complaints struct {
	say func(format string, args ...any)
}

// Init implements [logr.LogSink].
func (complaints) Init(logr.RuntimeInfo) {}

// Enabled implements [logr.LogSink].
func (complaints) Enabled(int) bool { return false }

// Info implements [logr.LogSink].
func (complaints) Info(int, string, ...any) {}

// Error says what went wrong.
func (c complaints) Error(err error, message string, _ ...any) {
	c.say("Port-forward: %s: %v", message, err)
}

// WithValues implements [logr.LogSink].
func (c complaints) WithValues(...any) logr.LogSink { return c }

// WithName implements [logr.LogSink].
func (c complaints) WithName(string) logr.LogSink { return c }
