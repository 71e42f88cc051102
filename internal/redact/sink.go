// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"errors"

	"github.com/go-logr/logr"
)

// Sink returns a sink that passes everything to inner, redacted by [Text] and rendered by [Value]
// (B90). Levels, names and call depth are preserved. inner must be new, because logr.New
// initialises it through the wrapper. For a logger that is already in use, call [Logger].
func Sink(inner logr.LogSink) logr.LogSink {
	return &sink{inner: inner}
}

// Logger returns l with its sink wrapped as by [Sink].
func Logger(l logr.Logger) logr.Logger {
	inner := l.GetSink()
	if inner == nil {
		return l
	}
	return l.WithSink((&sink{inner: inner}).WithCallDepth(1))
}

type sink struct {
	inner logr.LogSink
}

var (
	_ logr.CallDepthLogSink       = (*sink)(nil)
	_ logr.CallStackHelperLogSink = (*sink)(nil)
)

// Init accounts for the wrapper's own stack frame.
func (s *sink) Init(info logr.RuntimeInfo) {
	info.CallDepth++
	s.inner.Init(info)
}

// maxLevel is the highest level that is logged. From 8 on client-go logs the bodies of requests and
// responses in hexadecimal, in which no pattern recognises a secret.
const maxLevel = 6

func (s *sink) Enabled(level int) bool { return level <= maxLevel && s.inner.Enabled(level) }

func (s *sink) Info(level int, msg string, keysAndValues ...any) {
	s.inner.Info(level, Text(msg), cleanPairs(keysAndValues)...)
}

func (s *sink) Error(err error, msg string, keysAndValues ...any) {
	if err != nil {
		// A new error, not a wrapper: sinks print causes and stacks of errors that they can unwrap.
		err = errors.New(errorText(err))
	}
	s.inner.Error(err, Text(msg), cleanPairs(keysAndValues)...)
}

func (s *sink) WithValues(keysAndValues ...any) logr.LogSink {
	return &sink{inner: s.inner.WithValues(cleanPairs(keysAndValues)...)}
}

func (s *sink) WithName(name string) logr.LogSink {
	return &sink{inner: s.inner.WithName(Text(name))}
}

// WithCallDepth returns s itself if the inner sink does not support call depths.
func (s *sink) WithCallDepth(depth int) logr.LogSink {
	inner, ok := s.inner.(logr.CallDepthLogSink)
	if !ok {
		return s
	}
	return &sink{inner: inner.WithCallDepth(depth)}
}

func (s *sink) GetCallStackHelper() func() {
	inner, ok := s.inner.(logr.CallStackHelperLogSink)
	if !ok {
		return func() {}
	}
	return inner.GetCallStackHelper()
}

// cleanPairs redacts a list of keys and values. The caller's slice is not modified.
func cleanPairs(keysAndValues []any) []any {
	out := make([]any, len(keysAndValues))
	for i, v := range keysAndValues {
		if i%2 == 1 {
			if key, ok := keysAndValues[i-1].(string); ok && isSensitive(key) {
				out[i] = Mark
				continue
			}
		}
		out[i] = Value(v)
	}
	return out
}
