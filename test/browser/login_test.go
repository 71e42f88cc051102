// SPDX-License-Identifier: Apache-2.0

package browser_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// login is a running `kubectl coder login --no-browser`.
type login struct {
	t *testing.T
	// urls are the lines of its standard output. It is closed when there are no more.
	urls   <-chan string
	ended  chan struct{}
	err    error  // set before ended is closed
	stderr string // path of what it says to people
}

// startLogin starts the program as the person, who may only look at sessions. It ends with the
// test.
func (w *browserEnv) startLogin() *login {
	w.T.Helper()
	l := &login{t: w.t, ended: make(chan struct{}), stderr: filepath.Join(w.artifacts, "login.txt")}
	said, err := os.OpenFile(l.stderr, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	w.Must(err)
	defer said.Close() // the program has a descriptor of its own
	command := exec.CommandContext(w.T.Context(), w.site.programPath(pluginProgram),
		"login", sessionName, "--namespace", w.Namespace, "--no-browser", "--kubeconfig", w.site.person.Kubeconfig)
	command.Stderr = said
	out, err := command.StdoutPipe()
	w.Must(err)
	w.Must(command.Start())
	urls := make(chan string, 10) // more than any test waits for
	l.urls = urls
	go func() {
		readLines(out, urls)
		l.err = command.Wait()
		close(l.ended)
	}()
	w.T.Cleanup(func() { <-l.ended })
	return l
}

func readLines(from io.Reader, to chan<- string) {
	defer close(to)
	for lines := bufio.NewScanner(from); lines.Scan(); {
		to <- lines.Text()
	}
}

// nextURL is the next URL that the program prints.
func (l *login) nextURL() *url.URL {
	l.t.Helper()
	select {
	case line, more := <-l.urls:
		if !more {
			l.t.Fatalf("login has ended without another URL; it says:\n%s", l.allOutput())
		}
		address, err := url.Parse(line)
		if err != nil || !address.IsAbs() {
			l.t.Fatalf("a line on standard output is no URL: %q", line)
		}
		return address
	case <-time.After(patience):
		l.t.Fatalf("login printed no URL within %s; it says:\n%s", patience, l.allOutput())
	}
	return nil
}

// requireExit waits for the program's end. It must have printed nothing that was not asked for.
func (l *login) requireExit(code int) {
	l.t.Helper()
	select {
	case <-l.ended:
	case <-time.After(patience):
		l.t.Fatalf("login did not end within %s; it says:\n%s", patience, l.allOutput())
	}
	var failed *exec.ExitError
	got := 0
	if errors.As(l.err, &failed) {
		got = failed.ExitCode()
	} else {
		requireNoError(l.t, l.err)
	}
	if got != code {
		l.t.Errorf("login exits with %d, want %d; it says:\n%s", got, code, l.allOutput())
	}
	for line := range l.urls {
		l.t.Errorf("login printed one more line: %s", line)
	}
}

// requireOutput fails the test unless the program has told people so.
func (l *login) requireOutput(text string) {
	l.t.Helper()
	if said := l.allOutput(); !strings.Contains(said, text) {
		l.t.Errorf("login does not say %q but:\n%s", text, said)
	}
}

func (l *login) allOutput() string {
	l.t.Helper()
	said, err := os.ReadFile(l.stderr)
	requireNoError(l.t, err)
	return string(bytes.TrimSpace(said))
}
