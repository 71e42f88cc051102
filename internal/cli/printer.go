// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
)

// printer writes lines. It is safe for concurrent use. Only writeOut returns write errors: an error
// of standard error cannot be reported anywhere.
type printer struct {
	mu       sync.Mutex
	out, err io.Writer
}

// printErrf prints one line for people.
func (p *printer) printErrf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintln(p.err, sanitize(fmt.Sprintf(format, args...)))
}

// printOut prints one line for scripts.
func (p *printer) printOut(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintln(p.out, sanitize(line))
}

// writeOut prints text of several lines that is already sanitized.
func (p *printer) writeOut(text string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := io.WriteString(p.out, text)
	return err
}

// sanitize removes characters that control the terminal or hide text: messages come from the
// cluster.
func sanitize(text string) string {
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
