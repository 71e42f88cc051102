// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// connector connects to the API server that the flags name, after the flags are parsed.
type connector struct {
	flags *genericclioptions.ConfigFlags
	env   Environment
	out   *printer
}

// cluster is a connection to an API server, and the namespace that commands work in.
type cluster struct {
	client    client.WithWatch
	config    *rest.Config
	namespace string
}

// connect reads the kubeconfig. It makes no request.
func (c *connector) connect() (*cluster, error) {
	config, err := c.flags.ToRESTConfig()
	if err != nil {
		return nil, newExitError(ExitUnreachable, "no API server is known: %w", err)
	}
	config.UserAgent = "kubectl-coder/" + c.env.Version
	config.WarningHandler = warnings{c.out}
	namespace, _, err := c.flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, newExitError(ExitUnreachable, "read the namespace of the kubeconfig: %w", err)
	}
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = requestsPerSecond, requestsAtOnce
	kube, err := client.NewWithWatch(config, client.Options{Scheme: scheme, Mapper: newMapper()})
	if err != nil {
		return nil, newExitError(ExitUnreachable, "connect to the API server: %w", err)
	}
	return &cluster{client: kube, config: config, namespace: namespace}, nil
}

// The client-side rate limit, the same as kubectl's. The default of client-go (5 requests per
// second) would make people wait.
const (
	requestsPerSecond = 50
	requestsAtOnce    = 300
)

// newScheme returns a scheme with the types that the commands use.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(
		v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme), appsv1.AddToScheme(scheme),
		admissionregistrationv1.AddToScheme(scheme), authorizationv1.AddToScheme(scheme),
	); err != nil {
		return nil, fmt.Errorf("build the scheme: %w", err)
	}
	return scheme, nil
}

// newMapper returns a static mapper of the types that the commands use, so that no discovery
// requests are needed.
func newMapper() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{v1alpha1.GroupVersion, corev1.SchemeGroupVersion})
	for _, kind := range []string{"CoderSession", "CoderDeployment"} {
		mapper.Add(v1alpha1.GroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	for _, kind := range []string{"Secret", "Pod"} {
		mapper.Add(corev1.SchemeGroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Namespace"), meta.RESTScopeRoot)
	mapper.Add(appsv1.SchemeGroupVersion.WithKind("Deployment"), meta.RESTScopeNamespace)
	for _, kind := range []string{
		"MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
	} {
		mapper.Add(admissionregistrationv1.SchemeGroupVersion.WithKind(kind), meta.RESTScopeRoot)
	}
	for _, kind := range []string{"SelfSubjectAccessReview", "SubjectAccessReview"} {
		mapper.Add(authorizationv1.SchemeGroupVersion.WithKind(kind), meta.RESTScopeRoot)
	}
	return mapper
}

// readError wraps an error of reading objects.
func readError(noun string, err error) error {
	if apierrors.IsNotFound(err) {
		return newExitError(ExitUnreachable,
			"this cluster has no CoderSessions: install the operator's CRDs, or choose another cluster with --context")
	}
	return newExitError(ExitUnreachable, "cannot read the %s: %w", noun, err)
}

// warnings prints the warnings of the API server.
type warnings struct{ out *printer }

// HandleWarningHeader prints a warning (RFC 7234, section 5.5).
func (w warnings) HandleWarningHeader(code int, _ string, text string) {
	if code == 299 && text != "" {
		w.out.printErrf("Warning: %s", text)
	}
}
