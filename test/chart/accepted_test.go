// SPDX-License-Identifier: Apache-2.0

//go:build chart

package chart

import (
	"slices"
	"testing"
)

// Nothing is wrong with what is rendered from any set of values.
func TestWhatIsRenderedIsAccepted(t *testing.T) {
	t.Parallel()
	for name, test := range valueSets {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, fault := range faults(t, chartFolder, test.values) {
				t.Error(fault)
			}
			args := pod(t, render(t, "operators", test.values)).Containers[0].Args
			for _, want := range test.args {
				if !slices.Contains(args, want) {
					t.Errorf("no %s among %q", want, args)
				}
			}
		})
	}
}

// Nobody gets a port that takes requests of strangers without asking for it.
func TestNoCallbackByDefault(t *testing.T) {
	t.Parallel()
	objects := render(t, "operators", "")
	container := pod(t, objects).Containers[0]
	for _, port := range container.Ports {
		if port.Name == "callback" {
			t.Errorf("port %d", port.ContainerPort)
		}
	}
	for _, arg := range container.Args {
		if len(arg) > 8 && arg[:8] == "--oauth-" {
			t.Error(arg)
		}
	}
	for _, kind := range []string{"Ingress", "HTTPRoute", "ServiceMonitor", "NetworkPolicy"} {
		if found := ofKind(objects, kind); len(found) > 0 {
			t.Errorf("%s: %q", kind, names(found))
		}
	}
	if found := ofKind(objects, "Service"); len(found) != 2 {
		t.Errorf("want Services of metrics and webhook alone, got %q", names(found))
	}
}
