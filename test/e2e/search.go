// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

// publicObjects are the kinds that anybody may be shown.
const publicObjects = "events,cdep,cses,pods,deployments,replicasets,configmaps,leases,services,mutatingwebhookconfigurations"

// publicTexts are in the logs of the operator and of the pods: what is kept is not nothing.
var publicTexts = []string{`"msg":"readiness changed"`, `"outcome":"accepted"`}

// searchEverything looks for every credential that there ever was in all that was printed: by pods, by the programs of the
// cluster, and in all objects that are no Secrets (B90).
func (w *world) searchEverything(ctx context.Context) error {
	if err := w.keeper.err(); err != nil {
		return fmt.Errorf("not all was kept: %w", err)
	}
	objects, err := w.kubectl.Run(ctx, "get", publicObjects, "--all-namespaces", "-o", "yaml")
	if err != nil {
		return err
	}
	texts := map[string]string{"the objects of the API server": objects}
	size := len(objects)
	err = filepath.WalkDir(w.folder.Logs, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || !strings.HasSuffix(path, ".log") {
			return err
		}
		text, err := os.ReadFile(path)
		texts[path] = string(text)
		size += len(text)
		return err
	})
	if err != nil {
		return err
	}
	values := w.keeper.credentials()
	if err := search(texts, values); err != nil {
		return err
	}
	w.term.Seen("none of %d values of credentials is in %d logs and objects (%d kB)", len(values), len(texts), size/1024)
	return nil
}

// search finds the public texts, and no value of a credential, plain or in base64. Values are keys, where they are from is
// what they lead to.
func search(texts, values map[string]string) error {
	for _, public := range publicTexts {
		if whereIs(texts, public) == "" {
			return &walk.UnexpectedError{Expected: fmt.Sprintf("%q in some log", public), Seen: "not all was kept"}
		}
	}
	for value, name := range values {
		for _, form := range []string{value, base64.StdEncoding.EncodeToString([]byte(value))} {
			if where := whereIs(texts, form); where != "" {
				return &walk.UnexpectedError{Expected: "no credential in " + where, Seen: "the value of " + name}
			}
		}
	}
	return nil
}

// whereIs is the name of a text with something in it; empty: of none.
func whereIs(texts map[string]string, what string) string {
	for name, text := range texts {
		if strings.Contains(text, what) {
			return name
		}
	}
	return ""
}
