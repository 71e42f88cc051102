// SPDX-License-Identifier: Apache-2.0

//go:build chart

package chart

import (
	"slices"
	"testing"
)

// The manifests of every set of values are free of faults.
func TestWhatIsRenderedIsAccepted(t *testing.T) {
	t.Parallel()
	for name, test := range valueSets {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, fault := range findFaults(t, chartFolder, test.values) {
				t.Error(fault)
			}
			args := podOf(t, renderChart(t, "operators", test.values)).Containers[0].Args
			for _, want := range test.args {
				if !slices.Contains(args, want) {
					t.Errorf("no %s among %q", want, args)
				}
			}
		})
	}
}

// The port for browsers, which takes requests without authentication, is off by default.
func TestNoCallbackByDefault(t *testing.T) {
	t.Parallel()
	objects := renderChart(t, "operators", "")
	container := podOf(t, objects).Containers[0]
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
	for _, kind := range []string{"Ingress", "HTTPRoute", "ServiceMonitor", "PrometheusRule", "NetworkPolicy"} {
		if found := ofKind(objects, kind); len(found) > 0 {
			t.Errorf("%s: %q", kind, sortedNames(found))
		}
	}
	if found := ofKind(objects, "Service"); len(found) != 2 {
		t.Errorf("want Services of metrics and webhook alone, got %q", sortedNames(found))
	}
}
