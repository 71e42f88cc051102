// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"errors"
	"reflect"
	"slices"
	"sync"

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
	// pending are keys and values that inner does not have: they are redacted when something is logged, because
	// most loggers, of which each pass of a controller gets one, log nothing.
	pending []any
	once    sync.Once
	full    logr.LogSink // inner with pending, after once
}

// withPending returns the inner sink with all keys and values.
func (s *sink) withPending() logr.LogSink {
	if len(s.pending) == 0 {
		return s.inner
	}
	s.once.Do(func() { s.full = s.inner.WithValues(cleanPairs(s.pending)...) })
	return s.full
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
	s.withPending().Info(level, Text(msg), cleanPairs(keysAndValues)...)
}

func (s *sink) Error(err error, msg string, keysAndValues ...any) {
	if err != nil {
		// A new error, not a wrapper: sinks print causes and stacks of errors that they can unwrap.
		err = errors.New(errorText(err))
	}
	s.withPending().Error(err, Text(msg), cleanPairs(keysAndValues)...)
}

func (s *sink) WithValues(keysAndValues ...any) logr.LogSink {
	if len(keysAndValues)%2 == 0 && !slices.ContainsFunc(keysAndValues, isChangeable) {
		return &sink{inner: s.inner, pending: append(slices.Clip(s.pending), keysAndValues...)}
	}
	return &sink{inner: s.withPending().WithValues(cleanPairs(keysAndValues)...)}
}

func (s *sink) WithName(name string) logr.LogSink {
	return &sink{inner: s.withPending().WithName(Text(name))}
}

// WithCallDepth returns s itself if the inner sink does not support call depths.
func (s *sink) WithCallDepth(depth int) logr.LogSink {
	inner, ok := s.withPending().(logr.CallDepthLogSink)
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

// isChangeable reports whether what is behind a value can change after it was handed over, so that it has to be
// rendered at once.
func isChangeable(v any) bool { return v != nil && !isConstant(reflect.TypeOf(v)) }

// isConstant reports whether values of a type refer to no memory that others can write.
func isConstant(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return true
	case reflect.Struct:
		for i := range t.NumField() {
			if !isConstant(t.Field(i).Type) {
				return false
			}
		}
		return true
	default:
		return false
	}
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
