// SPDX-License-Identifier: Apache-2.0

package lookup

import corev1 "k8s.io/api/core/v1"

// ofSecrets are the names of the resource with which a ResourceQuota limits the number of Secrets.
var ofSecrets = []corev1.ResourceName{corev1.ResourceSecrets, "count/secrets"}

// CountsSecrets reports whether a quota limits the number of Secrets.
func CountsSecrets(quota *corev1.ResourceQuota) bool { return len(SecretLimits(quota)) > 0 }

// SecretLimits returns the limits of a quota that are about the number of Secrets; nil: there are none.
func SecretLimits(quota *corev1.ResourceQuota) corev1.ResourceList {
	var limits corev1.ResourceList
	for _, name := range ofSecrets {
		if limit, limited := quota.Spec.Hard[name]; limited {
			if limits == nil {
				limits = corev1.ResourceList{}
			}
			limits[name] = limit
		}
	}
	return limits
}
