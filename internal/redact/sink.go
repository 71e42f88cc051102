// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"errors"

	"github.com/go-logr/logr"
)

// Sink returns a sink that hands everything on to inner, cleaned by [Text] and rendered by [Value] (B90). Levels, names
// and call depth stay right. inner must be fresh, because logr.New initialises it through the wrapper: for a logger that
// is in use already there is [Logger].
func Sink(inner logr.LogSink) logr.LogSink {
	return &sink{inner: inner}
}

// Logger returns l with its sink wrapped like by [Sink].
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

// Init counts the wrapper's own frame.
func (s *sink) Init(info logr.RuntimeInfo) {
	info.CallDepth++
	s.inner.Init(info)
}

// loudest is the highest level that gets through. From 8 on client-go logs the
// bodies of requests and answers, in hexadecimal: Secrets that no pattern finds.
const loudest = 6

func (s *sink) Enabled(level int) bool { return level <= loudest && s.inner.Enabled(level) }

func (s *sink) Info(level int, msg string, keysAndValues ...any) {
	s.inner.Info(level, Text(msg), pairs(keysAndValues)...)
}

func (s *sink) Error(err error, msg string, keysAndValues ...any) {
	if err != nil {
		// A new error, not a wrapper: sinks print causes and stacks of what they can unwrap.
		err = errors.New(errorText(err))
	}
	s.inner.Error(err, Text(msg), pairs(keysAndValues)...)
}

func (s *sink) WithValues(keysAndValues ...any) logr.LogSink {
	return &sink{inner: s.inner.WithValues(pairs(keysAndValues)...)}
}

func (s *sink) WithName(name string) logr.LogSink {
	return &sink{inner: s.inner.WithName(Text(name))}
}

// WithCallDepth returns s itself where the inner sink does not know call depths.
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

// pairs cleans a list of keys and values; the caller's slice stays as it is.
func pairs(keysAndValues []any) []any {
	out := make([]any, len(keysAndValues))
	for i, v := range keysAndValues {
		if i%2 == 1 {
			if key, ok := keysAndValues[i-1].(string); ok && sensitive(key) {
				out[i] = Mark
				continue
			}
		}
		out[i] = Value(v)
	}
	return out
}
