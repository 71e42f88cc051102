// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// leash ties child processes to this one: they are killed when it ends, even by a
// panic of the test timeout or a SIGKILL, where no deferred call runs.
//
// This process holds the only writing end of a named pipe. A program on the leash
// is started by a script that leaves a reader of that pipe behind and becomes the
// program; the reader sees the end of the file when the writing end is gone.
type leash struct {
	folder string
	once   sync.Once
	writer *os.File
}

// script starts a program with the script's own arguments. A call for --help, by
// which envtest looks for flags, ends by itself and needs no leash: a reader that
// outlived it could signal a process that got the same id later. The signal is a
// SIGKILL because an API server whose etcd goes first takes a minute to give up.
// Little of what the programs allocate for tests lives long: collecting it less often
// saves a sixth of their time.
const script = `#!/bin/sh
export GOGC=400
case " $* " in *" --help "*) exec '%[1]s' "$@" ;; esac
exec 3<'%[2]s'
( cat <&3; kill -KILL "$$" ) </dev/null >/dev/null 2>&1 &
exec '%[1]s' "$@" 3<&-
`

// newLeash makes the pipe in the folder.
func newLeash(folder string) (*leash, error) {
	l := &leash{folder: folder}
	if err := syscall.Mkfifo(l.pipePath(), 0o600); err != nil {
		return nil, fmt.Errorf("make the pipe of the control plane: %w", err)
	}
	// Reading and writing, because an open for writing only waits for a reader.
	writer, err := os.OpenFile(l.pipePath(), os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open the pipe of the control plane: %w", err)
	}
	l.writer = writer
	return l, nil
}

func (l *leash) pipePath() string { return filepath.Join(l.folder, "alive") }

// tieProgram returns the path of a script that runs the program on the leash.
func (l *leash) tieProgram(program string) (string, error) {
	path := filepath.Join(l.folder, "run-"+filepath.Base(program))
	//nolint:gosec // A script has to be executable.
	if err := os.WriteFile(path, fmt.Appendf(nil, script, program, l.pipePath()), 0o700); err != nil {
		return "", fmt.Errorf("write the script of %s: %w", filepath.Base(program), err)
	}
	return path, nil
}

// release ends what is on the leash. It may be called more than once and from
// several goroutines.
func (l *leash) release() error {
	var err error
	l.once.Do(func() {
		if closeErr := l.writer.Close(); closeErr != nil && !errors.Is(closeErr, os.ErrClosed) {
			err = fmt.Errorf("close the pipe of the control plane: %w", closeErr)
		}
	})
	return err
}
