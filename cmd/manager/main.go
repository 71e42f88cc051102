// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"

	// The image has no root certificates, so the publicly trusted ones are compiled in. Root
	// certificates of the system, if there are any, take precedence.
	_ "golang.org/x/crypto/x509roots/fallback"
	ctrl "sigs.k8s.io/controller-runtime"
)

// version is set by the linker.
var version = "dev"

func main() {
	if err := run(ctrl.SetupSignalHandler(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "coder-session-operator:", err)
		os.Exit(1)
	}
}
