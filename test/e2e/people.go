// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

// people act in the namespace with the cluster's own roles, and with what the chart adds to these.
var people = map[string]string{"owner": "admin", "editor": "edit"}

// newPerson returns kubectl as a person uses it: with their own rights, which the cluster's
// administrator lends to them.
func (w *e2eRun) newPerson(name string) (*walk.Program, error) {
	config, err := clientcmd.LoadFromFile(w.cluster.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	for _, user := range config.AuthInfos {
		user.Impersonate = name
	}
	path := filepath.Join(w.folder.Work, "kubeconfig-"+name)
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return nil, fmt.Errorf("write the kubeconfig of %s: %w", name, err)
	}
	person := *w.kubectl
	person.Env = append([]string{"KUBECONFIG=" + path}, w.kubectl.Env[1:]...)
	return &person, nil
}

// bindPeople gives the people their roles in the namespace.
func (w *e2eRun) bindPeople(ctx context.Context) error {
	for name, role := range people {
		if err := w.kubectl.Show(ctx, "-n", namespace, "create", "rolebinding", name, "--clusterrole="+role,
			"--user="+name); err != nil {
			return err
		}
	}
	return nil
}

// policiesAreRight waits until Kubernetes has judged the admission policies, and wants no warning.
func (w *e2eRun) policiesAreRight(ctx context.Context) error {
	for _, suffix := range []string{"-deployment-rights", "-session-rights", "-own-account"} {
		name := release + suffix
		warnings := ""
		_, err := walk.Await(ctx, "Kubernetes has checked the types of "+name,
			func(ctx context.Context) (string, bool, error) {
				judged, err := w.kubectl.Run(ctx, "get", "validatingadmissionpolicy", name, "-o",
					"jsonpath={.status.observedGeneration}")
				if err != nil {
					return "", false, err
				}
				warnings, err = w.kubectl.Run(ctx, "get", "validatingadmissionpolicy", name, "-o",
					"jsonpath={.status.typeChecking.expressionWarnings}")
				return "generation " + judged, judged != "", err
			})
		if err != nil {
			return err
		}
		if warnings != "" {
			return &walk.UnexpectedError{Expected: "no warning about " + name, Seen: warnings}
		}
	}
	return nil
}
