// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"fmt"
	"strings"
	"sync"

	"github.com/go-logr/logr"
)

// logs keeps everything that any operator of the binary logs, at every level.
var logs = &logSink{}

type logSink struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *logSink) Init(logr.RuntimeInfo)                 { /* nothing to set up */ }
func (s *logSink) Enabled(int) bool                      { return true }
func (s *logSink) WithValues(values ...any) logr.LogSink { s.addEntry("values", values); return s }
func (s *logSink) WithName(string) logr.LogSink          { return s }
func (s *logSink) Info(_ int, message string, values ...any) {
	s.addEntry(message, values)
}
func (s *logSink) Error(err error, message string, values ...any) {
	s.addEntry(message, append(values, "error", err))
}

func (s *logSink) addEntry(message string, values []any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintln(&s.text, message, values)
}

// String is all that was logged.
func (s *logSink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}
