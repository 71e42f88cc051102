package cli

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// connector makes the connection that the flags ask for, once they are parsed.
type connector struct {
	flags *genericclioptions.ConfigFlags
	env   Environment
	out   *printer
}

// cluster is a connection to an API server, and the namespace that is worked in.
type cluster struct {
	client    client.WithWatch
	config    *rest.Config
	namespace string
}

// connect reads the kubeconfig. It makes no request.
func (c *connector) connect() (*cluster, error) {
	config, err := c.flags.ToRESTConfig()
	if err != nil {
		return nil, exit(ExitUnreachable, "no API server is known: %w", err)
	}
	config.UserAgent = "kubectl-coder/" + c.env.Version
	config.WarningHandler = warnings{c.out}
	namespace, _, err := c.flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, exit(ExitUnreachable, "read the namespace of the kubeconfig: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("build the scheme: %w", err)
	}
	// The kinds are known: nobody has to be asked for them first.
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{v1alpha1.GroupVersion})
	mapper.Add(v1alpha1.GroupVersion.WithKind("CoderSession"), meta.RESTScopeNamespace)
	kube, err := client.NewWithWatch(config, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, exit(ExitUnreachable, "connect to the API server: %w", err)
	}
	return &cluster{client: kube, config: config, namespace: namespace}, nil
}

// sessions lists the sessions of the namespace.
func (c *cluster) sessions(ctx context.Context) ([]v1alpha1.CoderSession, error) {
	list := &v1alpha1.CoderSessionList{}
	if err := c.client.List(ctx, list, client.InNamespace(c.namespace)); err != nil {
		return nil, unread(err)
	}
	return list.Items, nil
}

// unread is the error of a request about sessions that failed.
func unread(err error) error {
	if apierrors.IsNotFound(err) {
		return exit(ExitUnreachable, "this cluster has no CoderSessions: install the operator's CRDs, or choose another cluster with --context")
	}
	return exit(ExitUnreachable, "cannot read the session: %w", err)
}

// warnings of the API server are for people, too.
type warnings struct{ out *printer }

// HandleWarningHeader shows a warning (RFC 7234, section 5.5).
func (w warnings) HandleWarningHeader(code int, _ string, text string) {
	if code == 299 && text != "" {
		w.out.say("Warning: %s", text)
	}
}
