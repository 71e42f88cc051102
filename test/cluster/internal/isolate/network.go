// SPDX-License-Identifier: Apache-2.0

//go:build linux

package isolate

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// network are the commands that make the node's interfaces. What leaves by the default route is
// lost (the cable's other end has no address; of all kinds of interface, pods need this one
// anyway); but without one nothing can be sent to a Service's address, which is rewritten only
// after a route was found.
var network = []string{
	"ip link set lo up",
	"ip link add node0 type veth peer name nowhere0",
	"ip address add " + NodeAddress + "/24 dev node0",
	"ip link set node0 up",
	"ip link set nowhere0 up",
	"ip route add default dev node0",
}

// prepareNetwork gives the new namespace a loopback and the node's interface.
func prepareNetwork() error {
	for _, command := range network {
		words := strings.Fields(command)
		output, err := exec.Command(words[0], words[1:]...).CombinedOutput() //nolint:noctx // It takes milliseconds.
		if err != nil {
			return fmt.Errorf("%s: %w: %s", command, err, bytes.TrimSpace(output))
		}
	}
	// Packets go from pod to pod by way of the node.
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1\n"), 0o600); err != nil {
		return fmt.Errorf("forward packets: %w", err)
	}
	return nil
}
