// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of all kinds in this package.
var GroupVersion = schema.GroupVersion{Group: "credentials.coder.com", Version: "v1alpha1"}

// AddToScheme registers the kinds of this package in a scheme. It returns an
// error only when another type is registered there under the same kind.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&CoderDeployment{}, &CoderDeploymentList{},
		&CoderSession{}, &CoderSessionList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
