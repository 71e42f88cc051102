// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// ObjectName is the name of a Secret, ConfigMap or other object: lower-case letters, digits, '-'
// and '.'.
//
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="write the object's name: lower-case letters, digits, '-' and '.'"
type ObjectName string

// DataKey is a key in the data of a Secret or ConfigMap: letters, digits, '-', '_' and '.'.
//
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]+$')",message="write a key of the object's data: letters, digits, '-', '_' and '.'"
type DataKey string

// Duration is a length of time above zero in the units ms, s, m and h, such as 500ms, 5m, 1h30m or
// 24h.
//
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) > duration('0s')",message="write a positive duration such as \"500ms\", \"5m\" or \"24h\" (days are not a unit: write 168h for 7 days)"
type Duration string

// SecretKeyRef names a key of a Secret in the namespace of the object that names it.
type SecretKeyRef struct {
	// Name of the Secret, in the same namespace.
	Name ObjectName `json:"name"`
	// Key of the value in the data of the Secret.
	Key DataKey `json:"key"`
}

// TokenSecretRef names a key of a Secret that has a Coder token, in the namespace of the object
// that names it.
type TokenSecretRef struct {
	// Name of the Secret, in the same namespace.
	Name ObjectName `json:"name"`
	// Key of the token in the data of the Secret. White space around the value is ignored. Default:
	// token.
	// +kubebuilder:default=token
	// +optional
	Key DataKey `json:"key,omitempty"`
}

// DataKey is the key of the token in the Secret's data.
func (r TokenSecretRef) DataKey() string {
	if r.Key == "" {
		return "token" // as the API server defaults it
	}
	return string(r.Key)
}

// ConfigMapKeyRef names a key of a ConfigMap in the namespace of the object that names it.
type ConfigMapKeyRef struct {
	// Name of the ConfigMap, in the same namespace.
	Name ObjectName `json:"name"`
	// Key of the value in the data of the ConfigMap.
	Key DataKey `json:"key"`
}
