// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"io"

	"k8s.io/utils/clock"
)

// Environment is what the plugin has of its process. All fields but Terminal and Colours are needed.
type Environment struct {
	// Out takes what scripts read, Err what people read.
	Out, Err io.Writer
	// Terminal says that Out is a terminal, Colours that it is to have colours.
	Terminal, Colours bool
	// Clock tells times and ends waiting.
	Clock clock.WithDelayedExecution
	// Open shows a URL in the person's browser. It may block for as long as that runs.
	Open func(url string) error
	// Version of the plugin, for --version and the User-Agent of requests.
	Version string
}
