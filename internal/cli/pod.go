// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

const (
	// operatorLabels selects the operator's pods, whichever way it was installed.
	operatorLabels = "app.kubernetes.io/name=coder-session-operator"
	// callbackPortName is the name of the container port that serves the OAuth callback.
	callbackPortName = "callback"
)

// newPodClient returns a REST client for the core API group.
func newPodClient(config *rest.Config) (*rest.RESTClient, error) {
	config = rest.CopyConfig(config)
	config.APIPath, config.GroupVersion = "/api", &corev1.SchemeGroupVersion
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	return rest.RESTClientFor(config)
}

// findOperatorPod returns a ready pod of the operator. Any replica serves the callback (B72).
func findOperatorPod(ctx context.Context, pods *rest.RESTClient, namespace string) (*corev1.Pod, error) {
	list := &corev1.PodList{}
	err := pods.Get().Namespace(namespace).Resource("pods").
		VersionedParams(&metav1.ListOptions{LabelSelector: operatorLabels}, scheme.ParameterCodec).Do(ctx).Into(list)
	if err != nil {
		return nil, newExitError(ExitUnreachable, "cannot look for the operator's pod: %w", err)
	}
	ready := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return !isPodReady(&p) })
	if len(ready) == 0 {
		return nil, newExitError(ExitUnreachable,
			"namespace %q has no ready pod with the label %s: name the operator's namespace with --operator-namespace",
			namespace, operatorLabels)
	}
	chosen := slices.MinFunc(ready, func(a, b corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	return &chosen, nil
}

func isPodReady(p *corev1.Pod) bool {
	return p.DeletionTimestamp.IsZero() && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// findCallbackPort is the port of the pod that serves the callback: the one from the flag, else the
// one of the container port with the name.
func findCallbackPort(p *corev1.Pod, asked int) (int, error) {
	if asked != 0 {
		return asked, nil
	}
	for i := range p.Spec.Containers {
		for _, port := range p.Spec.Containers[i].Ports {
			if port.Name == callbackPortName {
				return int(port.ContainerPort), nil
			}
		}
	}
	return 0, newExitError(ExitUnreachable, "pod %s/%s has no container port with the name %q: name the number of "+
		"the port with --callback-port; the operator serves it with --oauth-callback-bind-address",
		p.Namespace, p.Name, callbackPortName)
}
