// SPDX-License-Identifier: Apache-2.0

package walk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Terminal prints what a person reads. Colours are for terminals only, and not
// where NO_COLOR is set (https://no-color.org).
type Terminal struct {
	out    io.Writer
	colour bool
}

// NewTerminal returns a Terminal that prints to a file. Colours are used if it is a terminal.
func NewTerminal(out *os.File) *Terminal {
	info, err := out.Stat()
	isTerminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &Terminal{out: out, colour: isTerminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// Escape sequences (ECMA-48, SGR).
const (
	bold  = "\x1b[1m"
	dim   = "\x1b[2m"
	red   = "\x1b[31m"
	green = "\x1b[32m"
	cyan  = "\x1b[36m"
	plain = "\x1b[0m"
)

func (t *Terminal) applyStyle(style, text string) string {
	if !t.colour {
		return text
	}
	return style + text + plain
}

// printf ignores errors: without a terminal there is no place to report them.
func (t *Terminal) printf(format string, args ...any) { _, _ = fmt.Fprintf(t.out, format, args...) }

// Heading begins something new.
func (t *Terminal) Heading(text string) { t.printf("\n%s\n", t.applyStyle(bold, text)) }

// Expect says what is going to happen.
func (t *Terminal) Expect(text string) {
	t.printf("%s\n", t.applyStyle(dim, wrapText("what to expect: "+text, "  ")))
}

// Command shows what a person could type.
func (t *Terminal) Command(text string) { t.printf("  %s\n", t.applyStyle(cyan, "$ "+text)) }

// Output is what a command printed.
func (t *Terminal) Output(text string) {
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		t.printf("%s\n", strings.TrimRight("    "+line, "\n "))
	}
}

// Seen is something that was seen and is as expected.
func (t *Terminal) Seen(format string, args ...any) {
	t.printf("  %s %s\n", t.applyStyle(green, "✓"), fmt.Sprintf(format, args...))
}

// Note prints information that is neither expected nor a failure.
func (t *Terminal) Note(format string, args ...any) {
	t.printf("  %s\n", fmt.Sprintf(format, args...))
}

// Failure says what is not as expected and where to read on.
func (t *Terminal) Failure(err error, logs string) {
	var other *UnexpectedError
	cross := t.applyStyle(red, "✗")
	if errors.As(err, &other) {
		t.printf("  %s expected: %s\n    seen:     %s\n", cross, other.Expected, other.Seen)
	} else {
		t.printf("  %s %v\n", cross, err)
	}
	if logs != "" {
		t.printf("    logs:     %s\n", logs)
	}
}

// wrapText breaks text into lines of a readable length.
func wrapText(text, indent string) string {
	const width = 100
	var lines []string
	line := indent
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > width && line != indent {
			lines = append(lines, line)
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	return strings.Join(append(lines, line), "\n")
}

// Brief is a duration as people say it.
func Brief(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}
