// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

func namespacedName(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

func (d *demo) getDeployment(ctx context.Context) (*v1alpha1.CoderDeployment, error) {
	object := &v1alpha1.CoderDeployment{}
	return object, d.client.Get(ctx, namespacedName("prod"), object)
}

func (d *demo) getSession(ctx context.Context, name string) (*v1alpha1.CoderSession, error) {
	object := &v1alpha1.CoderSession{}
	return object, d.client.Get(ctx, namespacedName(name), object)
}

func (d *demo) getSecret(ctx context.Context, name string) (*corev1.Secret, error) {
	object := &corev1.Secret{}
	return object, d.client.Get(ctx, namespacedName(name), object)
}

// readyCondition returns the Ready condition; Unknown if there is none.
func readyCondition(conditions []metav1.Condition) metav1.Condition {
	if c := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady); c != nil {
		return *c
	}
	return metav1.Condition{Status: metav1.ConditionUnknown, Reason: "NoCondition"}
}

// describeCondition describes a condition on one line.
func describeCondition(what string, c metav1.Condition) string {
	return fmt.Sprintf("%s has %s=%s (%s: %s)", what, v1alpha1.ConditionReady, c.Status, c.Reason, c.Message)
}

// deploymentIs waits for one of these reasons of the deployment's Ready condition.
func (d *demo) deploymentIs(reasons ...string) walk.Look {
	return func(ctx context.Context) (string, bool, error) {
		object, err := d.getDeployment(ctx)
		if err != nil {
			return "", false, err
		}
		c := readyCondition(object.Status.Conditions)
		return describeCondition("CoderDeployment prod", c), slices.Contains(reasons, c.Reason), nil
	}
}

// sessionIs waits for a reason of a session's Ready condition, for the current generation of the
// spec.
func (d *demo) sessionIs(name, reason string) walk.Look {
	return func(ctx context.Context) (string, bool, error) {
		object, err := d.getSession(ctx, name)
		if err != nil {
			return "", false, err
		}
		c := readyCondition(object.Status.Conditions)
		current := object.Status.ObservedGeneration == object.Generation
		return describeCondition("CoderSession "+name, c), c.Reason == reason && current, nil
	}
}
