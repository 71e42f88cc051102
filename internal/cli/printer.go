// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
)

// printer writes lines. It is safe for concurrent use. A writer that fails is nobody to tell.
type printer struct {
	mu       sync.Mutex
	out, err io.Writer
}

// printf tells people something, in one line.
func (p *printer) printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintln(p.err, harmless(fmt.Sprintf(format, args...)))
}

// println writes a line for scripts.
func (p *printer) println(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintln(p.out, harmless(line))
}

// write gives text of several lines that is harmless already, and says when that fails.
func (p *printer) write(text string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := io.WriteString(p.out, text)
	return err
}

// harmless takes out what would steer a terminal, or hide what is written: messages come from the cluster.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r):
			return ' '
		case unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, text)
}
