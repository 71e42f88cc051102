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

// publicObjects are the kinds that must not hold credentials.
const publicObjects = "events,cdep,cses,pods,deployments,replicasets,configmaps,leases,services," +
	"mutatingwebhookconfigurations"

// publicTexts are in the logs of the operator and of the pods. They show that logs were kept.
var publicTexts = []string{`"msg":"readiness changed"`, `"outcome":"accepted"`}

// searchEverything searches for every credential that ever existed: in the logs of pods and of the
// cluster's programs, and in all objects that are not Secrets (B90).
func (w *e2eRun) searchEverything(ctx context.Context) error {
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
	values := w.keeper.allCredentials()
	if err := searchTexts(texts, values); err != nil {
		return err
	}
	w.term.Seen("none of %d values of credentials is in %d logs and objects (%d kB)", len(values), len(texts), size/1024)
	return nil
}

// searchTexts returns an error unless all public texts are found and no value of a credential is,
// neither plain nor in base64. The keys of values are what is searched for, and its values their
// origins.
func searchTexts(texts, values map[string]string) error {
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

// whereIs returns the name of a text that contains what; empty if none does.
func whereIs(texts map[string]string, what string) string {
	for name, text := range texts {
		if strings.Contains(text, what) {
			return name
		}
	}
	return ""
}
