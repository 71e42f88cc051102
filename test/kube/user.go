// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// User is a person or program that the API server knows by a client certificate.
type User struct {
	// Name is what the API server calls the user.
	Name string
	// Config to connect as the user, without a rate limit of the client's own.
	Config *rest.Config
	// Kubeconfig is the path of a file that says the same.
	Kubeconfig string
}

// User makes credentials for a name and its groups. Beside system:masters they
// may do only what RBAC gives them, which makes it the way to run an operator with
// the roles that it is installed with. The name is part of a file name.
func (c *Cluster) User(name string, groups ...string) (*User, error) {
	c.users.Lock()
	user, err := c.environment.AddUser(envtest.User{Name: name, Groups: groups}, &rest.Config{QPS: -1})
	c.users.Unlock()
	if err != nil {
		return nil, fmt.Errorf("make credentials of %s: %w", name, err)
	}
	content, err := user.KubeConfig()
	if err != nil {
		return nil, fmt.Errorf("make the kubeconfig of %s: %w", name, err)
	}
	// A file of CreateTemp is for its owner only.
	file, err := os.CreateTemp(c.folder, "kubeconfig-"+filepath.Base(name)+"-")
	if err != nil {
		return nil, fmt.Errorf("write the kubeconfig of %s: %w", name, err)
	}
	_, err = file.Write(content)
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("write the kubeconfig of %s: %w", name, err)
	}
	return &User{Name: name, Config: user.Config(), Kubeconfig: file.Name()}, nil
}

// ServiceAccount makes credentials for a service account, with the groups that Kubernetes gives it.
// There need not be an object of it.
func (c *Cluster) ServiceAccount(namespace, name string) (*User, error) {
	return c.User("system:serviceaccount:"+namespace+":"+name,
		"system:serviceaccounts", "system:serviceaccounts:"+namespace, "system:authenticated")
}
