// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"io"

	"k8s.io/utils/clock"
)

// Environment is what the plugin needs from its process. All fields but Terminal, Colours and
// Piped are required.
type Environment struct {
	// In is read by convert only.
	In io.Reader
	// Out is for scripts, Err for people.
	Out, Err io.Writer
	// Terminal says that Out is a terminal, Colours that it supports colours.
	Terminal, Colours bool
	// Piped says that Out is a pipe, and Err a terminal: a person has another program, or a shell, read
	// the output.
	Piped bool
	// Clock is used for times and timeouts.
	Clock clock.WithDelayedExecution
	// Open opens a URL in the person's browser. It may block for as long as the browser runs.
	Open func(url string) error
	// Version of the plugin, for --version, the User-Agent header, and the comparison with that of the CRDs.
	Version string
}
