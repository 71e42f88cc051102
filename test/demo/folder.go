package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// folder is where everything is that the demo writes.
type folder struct {
	path string
	logs string // of all processes
	work string // where kubectl runs: certificates, keys, tokens, manifests
}

func newFolder() (*folder, error) {
	path, err := os.MkdirTemp("", "coder-session-operator-demo-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	// kustomize takes relative paths only, and those lead nowhere through a link.
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil, fmt.Errorf("find the temporary folder: %w", err)
	}
	f := &folder{path: path, logs: filepath.Join(path, "logs"), work: filepath.Join(path, "work")}
	if err := errors.Join(os.Mkdir(f.logs, 0o700), os.Mkdir(f.work, 0o700)); err != nil {
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	return f, nil
}

// write writes a file that only its owner may read, and returns its path.
func (f *folder) write(name string, content []byte) (string, error) {
	path := filepath.Join(f.work, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return "", fmt.Errorf("write %s: %w", name, err)
	}
	return path, nil
}

// keepLog gives a log that somebody else writes and removes a second name here.
func (f *folder) keepLog(path string) error {
	if err := os.Link(path, filepath.Join(f.logs, filepath.Base(path))); err != nil {
		return fmt.Errorf("keep a log: %w", err)
	}
	return nil
}

// remove removes everything, or everything but the logs.
func (f *folder) remove(keepLogs bool) error {
	doomed := f.path
	if keepLogs {
		doomed = f.work
	}
	if err := os.RemoveAll(doomed); err != nil {
		return fmt.Errorf("remove the temporary folder: %w", err)
	}
	return nil
}
