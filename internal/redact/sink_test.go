// SPDX-License-Identifier: Apache-2.0

package redact_test

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// stringer, panicker, valuer and loud are values with methods of their own.
type (
	stringer string
	panicker struct{ Token string }
	valuer   string
	loud     struct{ text string }
	named    struct{ Data map[string][]byte }
	leaky    struct {
		Name     string `json:"name"`
		Password string `json:"password"`
		hidden   string
		Next     *leaky
	}
)

func (s stringer) String() string     { return string(s) }
func (p panicker) String() string     { panic(p.Token) }
func (v valuer) LogValue() slog.Value { return slog.StringValue(string(v)) }
func (l *loud) Error() string         { return l.text }
func (*named) GetName() string        { return "ci" }
func (*named) GetNamespace() string   { return "builds" }

const token = "--token " + sentinel

// newCapturingLogger returns a logger that redacts, and what it has written.
func newCapturingLogger(opts funcr.Options) (logr.Logger, *strings.Builder) {
	out := new(strings.Builder)
	sink := funcr.NewJSON(func(line string) { out.WriteString(line + "\n") }, opts).GetSink()
	// A sink that was initialised by its own logger is wrapped without being initialised again.
	return redact.Logger(logr.New(sink)), out
}

func TestSinkHidesCredentialsInEverythingThatIsLogged(t *testing.T) { // B90
	t.Parallel()
	cycle := &leaky{Name: "a", Password: sentinel, hidden: sentinel}
	cycle.Next = cycle
	values := map[string]any{
		"string": token, "bytes": []byte(sentinel), "secret": redact.New(sentinel), "error": errors.New(token),
		"pointer error": &loud{token}, "stringer": stringer(token), "log valuer": valuer(token),
		"panicker": panicker{sentinel},
		"map":      map[string]any{"a": token, "Authorization": []string{sentinel}},
		"nested":   map[string]any{"x": []any{map[int]string{1: token}}},
		"struct":   leaky{Name: token, Password: sentinel, hidden: sentinel}, "cycle": cycle,
		"object":         named{map[string][]byte{"session": []byte(sentinel)}},
		"object pointer": &named{map[string][]byte{"session": []byte(sentinel)}},
		"wrapped":        fmt.Errorf("call: %w", &loud{token}), "func": func() string { return sentinel },
		"nil error": (*loud)(nil), "nil": nil,
	}
	for name, v := range values {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, out := newCapturingLogger(funcr.Options{Verbosity: 9})
			log.Info("msg "+token, "v", v, token, "v")
			log.V(6).WithValues("v", v).WithName(token).Info("m")
			log.Error(fmt.Errorf("cause %w", errors.New(token)), "msg "+token, "v", v)
			log.Info("odd", v)
			log.Info("named", "token", sentinel)
			if strings.Contains(out.String(), sentinel) {
				t.Errorf("shows the value:\n%s", out)
			}
			if n := strings.Count(out.String(), "\n"); n != 5 {
				t.Errorf("%d lines, want 5", n)
			}
		})
	}
}

func TestSinkKeepsWhatIsPublic(t *testing.T) {
	t.Parallel()
	log, out := newCapturingLogger(funcr.Options{Verbosity: 1})
	log.WithName("sessions").WithName("mint").V(1).WithValues("tokenID", "a1B2c3D4e5", "n", 3).Info("minted",
		"took", time.Second, "ok", true, "list", []string{"a", "b"})
	log.V(2).Info("not at this level")
	log.Error(nil, "no error")
	want := `{"logger":"sessions/mint","level":1,"msg":"minted","tokenID":"a1B2c3D4e5","n":3,` +
		`"took":"1s","ok":true,"list":["a","b"]}` + "\n" +
		`{"logger":"","msg":"no error","error":null}` + "\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

// helperLog logs for its caller.
func helperLog(log logr.Logger) { log.WithCallDepth(1).Info("from the caller") }

func TestSinkNamesTheLineThatLogged(t *testing.T) {
	t.Parallel()
	opts := funcr.Options{LogCaller: funcr.All}
	out := new(strings.Builder)
	write := func(line string) { out.WriteString(line + "\n") }
	sink := &freshSink{Formatter: funcr.NewFormatterJSON(opts), write: write}
	sink.AddCallDepth(1) // its own frame
	fresh := logr.New(redact.Sink(sink))
	inUse := redact.Logger(funcr.NewJSON(write, opts))
	for _, log := range []logr.Logger{fresh, inUse} {
		_, _, line, _ := runtime.Caller(0)
		log.Info("here")                    // line + 1
		log.Error(errors.New("e"), "here")  // line + 2
		log.WithName("n").V(0).Info("here") // line + 3
		log.WithValues("k", 1).Info("here") // line + 4
		helperLog(log)                      // line + 5
		for i, got := range strings.Split(strings.TrimSpace(out.String()), "\n") {
			if want := fmt.Sprintf(`"caller":{"file":"sink_test.go","line":%d}`, line+1+i); !strings.Contains(got, want) {
				t.Errorf("line %d: got %s, want %s", i, got, want)
			}
		}
		out.Reset()
	}
}

// freshSink is a sink that no logger has initialised yet.
type freshSink struct {
	funcr.Formatter
	write func(string)
}

func (s freshSink) WithCallDepth(depth int) logr.LogSink { s.AddCallDepth(depth); return &s }
func (s freshSink) WithName(name string) logr.LogSink    { s.AddName(name); return &s }
func (s freshSink) WithValues(kv ...any) logr.LogSink    { s.AddValues(kv); return &s }
func (s freshSink) Info(level int, msg string, kv ...any) {
	_, line := s.FormatInfo(level, msg, kv)
	s.write(line)
}
func (s freshSink) Error(err error, msg string, kv ...any) {
	_, line := s.FormatError(err, msg, kv)
	s.write(line)
}

func TestValueIsPlainData(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0).UTC()
	tests := map[string]struct{ in, want any }{
		"object":          {&named{}, map[string]any{"name": "ci", "namespace": "builds"}},
		"object by value": {named{}, map[string]any{"name": "ci", "namespace": "builds"}},
		"time":            {now, now},
		"number":          {int32(3), int32(3)},
		"named string":    {struct{ A valuer }{"x"}, map[string]any{"A": "x"}},
		"struct": {leaky{Name: "a", Password: "p"},
			map[string]any{"name": "a", "password": redact.Mark, "Next": nil}},
		"channel": {make(chan int), "[chan int]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, redact.Value(tt.in)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLoggerWithoutASinkStaysAsItIs(t *testing.T) {
	t.Parallel()
	redact.Logger(logr.Discard()).Info("nowhere")
	redact.Logger(logr.Logger{}).Info("nowhere")
}

// B90: client-go logs the bodies of requests and responses at level 8 and above, in a form in which
// no pattern recognises a Secret.
func TestSinkLetsNothingThroughThatLogsWholeBodies(t *testing.T) {
	t.Parallel()
	written := 0
	log := logr.New(redact.Sink(funcr.New(func(string, string) { written++ }, funcr.Options{Verbosity: 10}).GetSink()))
	for level := range 11 {
		if got, want := log.V(level).Enabled(), level < 7; got != want {
			t.Errorf("level %d: enabled %t, want %t", level, got, want)
		}
		log.V(level).Info("body")
	}
	if written != 7 {
		t.Errorf("%d lines were written, want 7", written)
	}
}

// valueCounter counts what it is told to add to lines, and passes it on.
type valueCounter struct {
	logr.LogSink
	calls *int
}

func (c valueCounter) WithValues(keysAndValues ...any) logr.LogSink {
	*c.calls++
	return valueCounter{c.LogSink.WithValues(keysAndValues...), c.calls}
}

// Values of a logger that logs nothing cost nothing, and those that could change are rendered at once.
func TestValuesOfASilentLoggerAreNotRendered(t *testing.T) { // B90
	t.Parallel()
	calls, out := 0, new(strings.Builder)
	inner := funcr.NewJSON(func(line string) { out.WriteString(line + "\n") }, funcr.Options{}).GetSink()
	log := logr.New(redact.Sink(valueCounter{inner, &calls}))
	place := struct{ Name, Namespace string }{"ci", token}
	of := log.WithValues("controller", "session", "place", place).WithValues("name", "ci", "token", sentinel)
	if calls != 0 {
		t.Errorf("%d times values were rendered for nothing", calls)
	}
	of.Info("one")
	of.Info("two")
	if calls != 1 {
		t.Errorf("the values were rendered %d times for two lines", calls)
	}
	changing := map[string]string{"state": "before"}
	late := of.WithValues("changing", changing)
	changing["state"] = "after"
	late.WithName("late").Info("three")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for _, line := range lines {
		if !strings.Contains(line, `"controller":"session"`) || !strings.Contains(line, `"name":"ci"`) ||
			strings.Contains(line, sentinel) {
			t.Errorf("a line is %s", line)
		}
	}
	if len(lines) != 3 || !strings.Contains(lines[2], "before") || strings.Contains(lines[2], "after") {
		t.Errorf("the lines are %q", lines)
	}
}
