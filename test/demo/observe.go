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

func named(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

func (d *demo) deployment(ctx context.Context) (*v1alpha1.CoderDeployment, error) {
	object := &v1alpha1.CoderDeployment{}
	return object, d.client.Get(ctx, named("prod"), object)
}

func (d *demo) session(ctx context.Context, name string) (*v1alpha1.CoderSession, error) {
	object := &v1alpha1.CoderSession{}
	return object, d.client.Get(ctx, named(name), object)
}

func (d *demo) secret(ctx context.Context, name string) (*corev1.Secret, error) {
	object := &corev1.Secret{}
	return object, d.client.Get(ctx, named(name), object)
}

// ready is the Ready condition; the zero condition where there is none.
func ready(conditions []metav1.Condition) metav1.Condition {
	if c := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady); c != nil {
		return *c
	}
	return metav1.Condition{Status: metav1.ConditionUnknown, Reason: "NoCondition"}
}

// describe says a condition on one line.
func describe(what string, c metav1.Condition) string {
	return fmt.Sprintf("%s has %s=%s (%s: %s)", what, v1alpha1.ConditionReady, c.Status, c.Reason, c.Message)
}

// deploymentIs looks for one of these reasons of the deployment's Ready condition.
func (d *demo) deploymentIs(reasons ...string) walk.Look {
	return func(ctx context.Context) (string, bool, error) {
		object, err := d.deployment(ctx)
		if err != nil {
			return "", false, err
		}
		c := ready(object.Status.Conditions)
		return describe("CoderDeployment prod", c), slices.Contains(reasons, c.Reason), nil
	}
}

// sessionIs looks for a reason of a session's Ready condition, with regard to the
// spec as it is now.
func (d *demo) sessionIs(name, reason string) walk.Look {
	return func(ctx context.Context) (string, bool, error) {
		object, err := d.session(ctx, name)
		if err != nil {
			return "", false, err
		}
		c := ready(object.Status.Conditions)
		current := object.Status.ObservedGeneration == object.Generation
		return describe("CoderSession "+name, c), c.Reason == reason && current, nil
	}
}
